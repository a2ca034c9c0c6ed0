"""What is right, by the plainest loops: one sample, one entry at a time.

Slow, and right wherever plain reverse mode is. It shares nothing with the strategies,
so that an error of theirs cannot be an error of this file as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from jacengine.bench import loops
from jacengine.bench.workload import DerivativeSpec
from jacengine.problem.quantity import Quantity

_LOOPS: dict[Quantity, Callable[[Tensor, loops.Inputs], Any]] = {
    "jacobian": loops.jacobian,
    "hessian": loops.hessian,
    "hessian_diagonal": loops.hessian_diagonal,
    "laplacian": loops.laplacian,
}


def reference(spec: DerivativeSpec) -> Any:
    """Compute the answer with one `torch.autograd.grad` an entry of a sample.

    Args:
        spec: What to compute.

    Returns:
        The answer, nested as by `jacengine.auto`: a Jacobian `(*out, *in)`, a Hessian
        `(*out, *in, *in)`, its diagonal `(*out, *in)`, a Laplacian `(*out)`; with
        samples `B` goes first. For parameters `(*out, *param)` by name, a Hessian
        `(*out, *p, *q)` by the names of p and q; a Laplacian sums over all of them.
    """
    if spec.batch_dim is None:
        return _answer(spec, list(spec.args))
    samples = [
        _answer(spec, [arg[b : b + 1] for arg in spec.args])
        for b in range(len(spec.args[0]))
    ]
    return pytree.tree_map(lambda *same: torch.stack(same), *samples)


def _answer(spec: DerivativeSpec, args: list[Any]) -> Any:
    """Return the answer at a point; of samples there is one, with its axis."""
    axis = spec.batch_dim
    names: tuple[str, ...] | None = None
    if spec.wrt == "params":
        module = cast("nn.Module", spec.fn)
        named = {n: p for n, p in module.named_parameters() if p.requires_grad}
        names, inputs = tuple(named), tuple(named.values())
    else:
        index = cast("int", spec.wrt)
        x = args[index] if axis is None else args[index].squeeze(axis)
        x = x.detach().clone().requires_grad_()
        args[index] = x if axis is None else x.unsqueeze(axis)
        inputs = (x,)
    output: Tensor = spec.fn(*args)
    output = output if axis is None else output.squeeze(axis)
    return _nested(_LOOPS[spec.quantity](output, inputs), names)


def _nested(found: Any, names: tuple[str, ...] | None) -> Any:
    """Name the blocks, or take the only one."""
    if isinstance(found, Tensor):
        return found.detach()
    if names is None:
        return _nested(found[0], None)
    return {n: _nested(block, names) for n, block in zip(names, found, strict=True)}
