"""The analysis of a request; where samples are coupled, by which line of the code."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from jacengine.errors import CoupledSamplesError
from jacengine.plans.request import PlanRequest
from jacengine.problem.analyze import analyze
from jacengine.problem.call_spec import CallSpec, describe_call
from jacengine.problem.problem import Problem


def analyze_request(request: PlanRequest) -> Problem:
    """Analyze the call of a request; see `analyze`.

    Raises:
        CoupledSamplesError: Samples depend on each other; with the operator and the
            line of the user's code that couples them, where it can be found.
        JacengineError: As `analyze`.
    """
    options = request.options
    try:
        return analyze(request.callee, request.args, request.kwargs, options)
    except CoupledSamplesError as error:
        found = _coupling(request)
        if found is None:
            raise
        raise CoupledSamplesError(f"{error} It is {found}") from None


def _coupling(request: PlanRequest) -> str | None:
    """Find the operator that couples samples; `None` if it cannot be found."""
    from jacengine.program.coupling import coupling_operator  # noqa: PLC0415 - slow
    from jacengine.program.program import Programs  # noqa: PLC0415 - slow

    options = request.options
    try:
        spec = describe_call(
            request.fn, request.args, request.kwargs, options.wrt, options.batch_dim
        )
        leaves = [_copy(leaf) for leaf in request.leaves]
        args, kwargs = spec.structure.unflatten(leaves)
        program, inputs = Programs().of(request.fn, args, kwargs)
        samples = {
            k: _samples(given, spec, number)
            for number, leaf in enumerate(leaves)
            for k, given in enumerate(inputs)
            if given is leaf and spec.dims[number] is not None
        }
        return coupling_operator(program, inputs, samples)
    except Exception:  # whatever code that is not made for it raises
        return None


def _copy(leaf: Any) -> Any:
    """Return a tensor of its own, that records where it can."""
    if not isinstance(leaf, Tensor):
        return leaf
    own = leaf.detach().clone()
    return own.requires_grad_(own.is_floating_point())


def _samples(leaf: Tensor, spec: CallSpec, number: int) -> Tensor:
    """Return the sample that each entry of an argument belongs to."""
    dim = spec.dims[number] or 0
    shape = [1] * leaf.dim()
    shape[dim] = leaf.shape[dim]
    return torch.arange(leaf.shape[dim], device="cpu").view(shape).expand(leaf.shape)
