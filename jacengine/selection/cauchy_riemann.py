"""Is a function holomorphic? The Cauchy-Riemann equations at a random cotangent.

Plain reverse mode gives, for a cotangent `u`, `g(u) = A^H u + B^T conj(u)` with the
Wirtinger derivatives `A = df/dz` and `B = df/d(conj z)`. So `(g(u) + i g(iu)) / 2` is
`B^T conj(u)`, which is zero for every `u` if and only if `f` is holomorphic.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torch_private import parameter_of
from jacengine._torchfunc import Tensors, pull
from jacengine.errors import ArgumentError
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.real_view import IMAGINARY, RealFunction, RealModule
from jacengine.selection.rounding import ROUNDING_FACTOR, rounding_changes
from jacengine.tolerance import TOLERANCES, least_precise


def check_holomorphic(bound: BoundFunction, seed: int = 0) -> None:
    """Check a function at its arguments, by one forward and two backward passes.

    Only what is not explained by rounding is taken for a violation.

    Args:
        bound: A `RealFunction` or `RealModule` with its arguments.
        seed: Of the random cotangent.

    Raises:
        ArgumentError: It is not holomorphic; with the size of the derivative by the
            conjugate, relative to that by the variable.
    """
    labels, by_variable, by_conjugate = _derivatives(bound, seed, nullcontext())
    if not labels:
        return
    scale = max(map(_largest, by_variable))
    sizes = list(map(_largest, by_conjugate))
    tolerance = TOLERANCES[least_precise(t.dtype for t in by_variable)].projection
    if max(sizes) <= tolerance * scale:
        return
    changes = rounding_changes(
        lambda context: _derivatives(bound, seed, context)[2], by_conjugate
    )
    rounding = max(_largest(part) for variant in changes for part in variant)
    if max(sizes) > tolerance * scale + ROUNDING_FACTOR * rounding:
        worst = sizes.index(max(sizes))
        than = f"{sizes[worst] / scale:.1e} times that by the variable" if scale else ""
        raise ArgumentError(
            "complex='holomorphic': the function is not holomorphic. Its derivative by "
            f"the conjugate of {labels[worst]} should be zero, but is "
            f"{than or 'all there is'}, along a random cotangent. Pass "
            "complex='as_real' for the real Jacobian."
        )


def _derivatives(
    bound: BoundFunction, seed: int, context: AbstractContextManager[object]
) -> tuple[list[str], Tensors, Tensors]:
    """Compute both Wirtinger derivatives along a random cotangent, inside a context.

    Returns:
        The labels of the complex inputs, twice `A^H u` of each, and twice
        `B^T conj(u)`, as pairs of real numbers.
    """
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        TORCH_GLOBAL_LOCK,
        bound.callee.preserve_everything(),
        context,
    ):
        pairs, outputs = _record(bound)
        u, turned = _cotangents(outputs, seed)
        primals = tuple(part for pair in pairs.values() for part in pair)
        plain, rotated = (pull(outputs, primals, seeds) for seeds in (u, turned))
    by_variable: list[Tensor] = []
    by_conjugate: list[Tensor] = []
    for number in range(0, len(primals), 2):
        g, gi = (
            torch.complex(*(part.detach() for part in found[number : number + 2]))
            for found in (plain, rotated)
        )
        by_variable.append(torch.view_as_real(g - 1j * gi))
        by_conjugate.append(torch.view_as_real(g + 1j * gi))
    return list(pairs), tuple(by_variable), tuple(by_conjugate)


def _record(
    bound: BoundFunction,
) -> tuple[dict[str, tuple[Tensor, Tensor]], Tensors]:
    """Run the function on real and imaginary parts that record.

    Returns:
        Real and imaginary part of each complex input by label, and the outputs.
    """
    spec, fn = bound.call_spec, bound.fn
    leaves: list[Any] = list(bound.leaves)
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    if isinstance(fn, RealModule):
        parameters: dict[str, Tensor] = {}
        for name in spec.names:
            if name in fn.complex_names:
                imaginary = f"{IMAGINARY}.{name}"
                own, further = (
                    _recording(parameter_of(fn, place)) for place in (name, imaginary)
                )
                parameters.update({name: own, imaginary: further})
                pairs[name] = own, further
        return pairs, bound.run(leaves, parameters or None).leaves
    assert isinstance(fn, RealFunction)
    view = fn.view
    for place, other in zip(view.split, view.imaginary_places, strict=True):
        leaves[place], leaves[other] = (
            _recording(leaves[place]),
            _recording(leaves[other]),
        )
        pairs[spec.labels[place]] = leaves[place], leaves[other]
    return pairs, bound.run(leaves).leaves


def _recording(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def _cotangents(outputs: Tensors, seed: int) -> tuple[Tensors, Tensors]:
    """Draw a complex cotangent `u`, and `iu`, as real ones of the outputs.

    The outputs are all real parts, followed by all imaginary parts.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        for output in outputs
    ]
    half = len(drawn) // 2
    real, imaginary = drawn[:half], drawn[half:]
    return tuple(drawn), (*(-part for part in imaginary), *real)


def _largest(pairs: Tensor) -> float:
    """Return the largest finite magnitude of complex numbers, zero if there is none."""
    size = torch.view_as_complex(pairs.contiguous()).abs()
    known = size[size.isfinite()]
    return float(known.max()) if known.numel() else 0.0
