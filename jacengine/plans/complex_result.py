"""Complex Jacobians of holomorphic functions, from the real ones of their parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import ArgumentError
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import bind
from jacengine.problem.call_spec import describe_call
from jacengine.problem.problem import Options
from jacengine.selection.cauchy_riemann import check_holomorphic


def compute_complex(
    request: PlanRequest,
    compute: Callable[[PlanRequest, Any], Any],
    out: Any,
) -> Any:
    """Compute what is requested, with a complex result if that is requested.

    Args:
        request: A request of the real function.
        compute: Computes a request into `out`, if that is given.
        out: A preallocated result.

    Raises:
        ArgumentError: The function is not holomorphic, or `out` does not fit.
    """
    options = request.options
    if options.complex != "holomorphic":
        return compute(request, out)
    found = complex_result(options, compute(request, None), out)
    if options.verify:
        require_holomorphic(request)
    return found


def require_holomorphic(request: PlanRequest) -> None:
    """Check the Cauchy-Riemann equations at the arguments of a request.

    Raises:
        ArgumentError: They do not hold.
    """
    options, args, kwargs = request.options, request.args, request.kwargs
    spec = describe_call(request.fn, args, kwargs, options.wrt, options.batch_dim)
    callee, leaves = request.callee, request.leaves
    check_holomorphic(bind(callee, spec, leaves, has_aux=options.has_aux))


def complex_result(options: Options, found: Any, out: Any = None) -> Any:
    """Make a complex Jacobian of the pair of those of real and imaginary parts.

    Args:
        options: The options of the call.
        found: The pair; with `has_aux`, together with `aux`.
        out: The preallocated complex Jacobian, written in place and returned.

    Raises:
        ArgumentError: `out` is of another structure, shape or dtype.
    """
    if options.has_aux:
        pair, aux = found
        return _complex(options, pair, out), aux
    return _complex(options, found, out)


def _complex(options: Options, pair: Any, out: Any) -> Any:
    real, imaginary = pair
    leaves, structure = pytrees.flatten(real)
    parts = zip(leaves, pytrees.flatten(imaginary)[0], strict=True)
    if out is None:
        return structure.unflatten(
            [None if a is None else torch.complex(a, b) for a, b in parts]
        )
    if options.create_graph:
        raise ArgumentError(
            "out= is written in place, which create_graph=True cannot record. Use one "
            "or the other."
        )
    targets, given = pytrees.flatten(out)
    if given != structure:
        raise ArgumentError(
            f"out= nests as {given.spec}, but the result nests as {structure.spec}."
        )
    for target, (a, b) in zip(targets, parts, strict=True):
        if a is not None:
            _require_fitting(target, a)
            torch.complex(a, b, out=target.detach())
    return out


def _require_fitting(target: Any, part: Tensor) -> None:
    """Hold a tensor of `out=` to the block that it is for.

    Raises:
        ArgumentError: It is something else.
    """
    dtype = part.dtype.to_complex()
    if not isinstance(target, Tensor):
        raise ArgumentError(f"out= holds a {type(target).__name__}, not a tensor.")
    got, expected = (
        (tuple(target.shape), target.dtype, target.device),
        (tuple(part.shape), dtype, part.device),
    )
    if got != expected:
        raise ArgumentError(f"out= is of {got}, but the result is of {expected}.")
