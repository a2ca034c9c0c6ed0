"""Short ways to write scenarios: a function or a module, shapes, and options."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.contract.scenario import Case, Scenario

Shape = tuple[int, ...]
Reference = Callable[[Case], Any]

_TOLERANCE = {"float32": 2e-5, "float16": 1e-2, "bfloat16": 6e-2}


def randn(*shape: int) -> Tensor:
    """Return normally distributed float64 numbers."""
    return torch.randn(shape, dtype=torch.float64)


def perturbed(module: nn.Module) -> nn.Module:
    """Make a module float64 and move it away from the special values it starts at.

    Scales of one, offsets of zero and fresh running statistics would hide errors.
    """
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return module


def scenario(
    name: str,
    build: Callable[[], Case],
    tags: str = "",
    reference: Reference | None = None,
    **options: object,
) -> Scenario:
    """Return a scenario whose `build` always starts from the same random state.

    Args:
        name: Name of the scenario, which also seeds it.
        build: Makes the case without its options, drawing from the global generator.
        tags: Separated by spaces; what the options say is added by itself.
        reference: Closed form of the result, if there is one.
        **options: Options of the case.

    Returns:
        The scenario, with the tolerance that its dtype allows.
    """

    def seeded() -> Case:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(zlib.crc32(name.encode()))
            return dataclasses.replace(build(), options={**options})

    named = frozenset(tags.split())
    return Scenario(
        name=name,
        build=seeded,
        tags=named | _implied_tags(options, reference),
        reference=reference,
        tolerance=max((_TOLERANCE.get(tag, 1e-9) for tag in named), default=1e-9),
    )


def function(
    name: str,
    fn: Callable[..., Any],
    *shapes: Shape,
    tags: str = "",
    reference: Reference | None = None,
    **options: object,
) -> Scenario:
    """Return a scenario that calls a function with random tensors of these shapes."""

    def build() -> Case:
        return Case(fn, tuple(randn(*shape) for shape in shapes))

    return scenario(name, build, tags, reference, **options)


def module(
    name: str,
    make: Callable[[], nn.Module],
    *shapes: Shape,
    tags: str = "",
    reference: Reference | None = None,
    **options: object,
) -> Scenario:
    """Return a scenario that calls a module with random tensors of these shapes."""

    def build() -> Case:
        inputs = tuple(randn(*shape) for shape in shapes)
        return Case(perturbed(make()), inputs)

    return scenario(name, build, tags, reference, **options)


def params(
    name: str, make: Callable[[], nn.Module], *shapes: Shape, tags: str = ""
) -> Scenario:
    """Return a scenario about a module's parameters, per sample."""
    return module(name, make, *shapes, tags=tags, wrt="params", batch_dim=0)


def inputs_and_params(
    name: str, make: Callable[[], nn.Module], *shapes: Shape, tags: str = ""
) -> tuple[Scenario, Scenario]:
    """Return two scenarios: a module's input, and its parameters, per sample."""
    return (
        module(f"{name}_inputs", make, *shapes, tags=tags, batch_dim=0),
        params(f"{name}_params", make, *shapes, tags=tags),
    )


def _implied_tags(
    options: Mapping[str, Any], reference: Reference | None
) -> frozenset[str]:
    wrt = options.get("wrt", 0)
    tags = {
        "params" if wrt == "params" or isinstance(wrt, list) else "inputs",
        "whole" if options.get("batch_dim") is None else "per_sample",
    }
    if "rows" in options or "columns" in options:
        tags.add("selection")
    if options.get("randomness", "error") != "error":
        tags.add("random")
    if reference is not None:
        tags.add("closed_form")
    return frozenset(tags)
