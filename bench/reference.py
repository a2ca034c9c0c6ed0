"""Reference derivatives by nested loops of `torch.autograd.grad`.

One backward pass for each sample and each entry: slow, and correct wherever reverse
mode is. This file shares nothing with the strategies, so that it cannot share an error
with them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from jacengine.bench.workload import DerivativeSpec

_Inputs = tuple[Tensor, ...]


def reference(spec: DerivativeSpec) -> Any:
    """Compute a derivative with one `torch.autograd.grad` for each entry of a sample.

    Args:
        spec: The derivative.

    Returns:
        The result, nested as by `jacengine.auto`: a Jacobian `(*out, *in)`, a Hessian
        `(*out, *in, *in)`, its diagonal `(*out, *in)`, a Laplacian `(*out)`; with
        samples `B` comes first. For parameters `(*out, *param)` by name, a Hessian
        `(*out, *p, *q)` by the names of p and q; a Laplacian sums over all of them.
    """
    if spec.batch_dim is None:
        return _of_point(spec, list(spec.args))
    samples = [
        _of_point(spec, [arg[b : b + 1] for arg in spec.args])
        for b in range(len(spec.args[0]))
    ]
    return pytree.tree_map(lambda *same: torch.stack(same), *samples)


def _of_point(spec: DerivativeSpec, args: list[Any]) -> Any:
    """Compute it at a point, or for a batch of one sample without its axis."""
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
    return _by_name(_LOOPS[spec.quantity](output, inputs), names)


def _by_name(blocks: Any, names: tuple[str, ...] | None) -> Any:
    """Detach the blocks; name them, or take the only one."""
    if isinstance(blocks, Tensor):
        return blocks.detach()
    if names is None:
        return _by_name(blocks[0], None)
    return {n: _by_name(block, names) for n, block in zip(names, blocks, strict=True)}


def _jacobian(
    output: Tensor, inputs: _Inputs, *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Compute the gradient of every entry: `(*out, *in)` for each input."""
    rows = [
        _gradients(entry, inputs, create_graph=create_graph)
        for entry in output.reshape(-1)
    ]
    return tuple(
        torch.stack(column).reshape(*output.shape, *x.shape)
        for x, column in zip(inputs, zip(*rows, strict=True), strict=True)
    )


def _diagonal(output: Tensor, inputs: _Inputs) -> tuple[Tensor, ...]:
    """Take the diagonal of the Jacobian by the one input: `(*in)`."""
    (block,) = _jacobian(output, inputs)
    square = block.reshape(output.numel(), -1)
    return (square.diagonal().reshape(inputs[0].shape),)


def _divergence(output: Tensor, inputs: _Inputs) -> Tensor:
    """Sum that diagonal."""
    return _diagonal(output, inputs)[0].sum()


def _hessian(output: Tensor, inputs: _Inputs) -> tuple[tuple[Tensor, ...], ...]:
    """Compute `(*out, *p, *q)` for inputs p, and for each of them for inputs q."""
    gradients = _jacobian(output, inputs, create_graph=True)
    return tuple(_jacobian(gradient, inputs) for gradient in gradients)


def _hessian_diagonal(output: Tensor, inputs: _Inputs) -> tuple[Tensor, ...]:
    """Compute every entry of the diagonal by itself: `(*out, *in)` for each input."""
    gradients = _jacobian(output, inputs, create_graph=True)
    return tuple(
        torch.stack(
            [
                _gradients(entry, (x,))[0].reshape(-1)[i]
                for row in gradient.reshape(output.numel(), x.numel())
                for i, entry in enumerate(row)
            ]
        ).reshape(gradient.shape)
        for gradient, x in zip(gradients, inputs, strict=True)
    )


def _laplacian(output: Tensor, inputs: _Inputs) -> Tensor:
    """Sum the diagonal over all entries of all inputs."""
    blocks = _hessian_diagonal(output, inputs)
    sums = [block.reshape(*output.shape, -1).sum(-1) for block in blocks]
    return torch.stack(sums).sum(0)


def _gradients(
    entry: Tensor, inputs: _Inputs, *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    if not entry.requires_grad:
        # The gradient of a linear function.
        return tuple(torch.zeros_like(x, requires_grad=False) for x in inputs)
    return torch.autograd.grad(
        entry,
        inputs,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


_LOOPS: dict[str, Any] = {
    "jacobian": _jacobian,
    "diagonal": _diagonal,
    "divergence": _divergence,
    "hessian": _hessian,
    "hessian_diagonal": _hessian_diagonal,
    "laplacian": _laplacian,
}
