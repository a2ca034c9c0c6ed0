"""What a plan is bound to: everything its choice and its layout depend on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine._torch_private import parameter_numbers, parameter_of, training_flags
from jacengine.errors import PlanMismatchError
from jacengine.problem.call_spec import CallSpec, argument_labels
from jacengine.problem.callee import Callee
from jacengine.problem.references import objects_among, references_of

SELECTING = (bool, int, str, Enum)
"""Types of arguments whose values a plan rests on: a branch may depend on them. Numbers
with a fraction rather scale something."""


@dataclass(frozen=True)
class Signature:
    """The structure of a call's arguments and the state of the modules behind it.

    Attributes:
        structure: How the arguments nest.
        leaves: Shape, dtype and device of each tensor; the value of what may select
            another way through the code (flags, integers, words); else the type.
        parameters: Name, shape and dtype of the parameters that are differentiated.
        tied: The number of each parameter of the module that they are of, tied ones
            alike; nothing, if inputs are differentiated.
        training: The training flags of all modules.
        holders: The arguments that are modules or refer to some, by place and
            identity: what is known of their buffers belongs to those alone.
        flags: Settings of torch that change values or speed.
    """

    structure: pytrees.Structure
    leaves: tuple[object, ...]
    parameters: tuple[tuple[str, tuple[int, ...] | None, torch.dtype | None], ...]
    tied: tuple[int, ...]
    training: tuple[bool, ...]
    holders: tuple[tuple[int, int], ...]
    flags: tuple[object, ...]

    @classmethod
    def of(
        cls,
        callee: Callee,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        names: Sequence[str] = (),
    ) -> Signature:
        """Take the signature of a call that differentiates the parameters named."""
        leaves, structure = pytrees.flatten_call(args, kwargs)
        return cls(
            structure,
            describe_leaves(leaves),
            describe_parameters(callee.fn, names),
            parameter_numbers(callee.fn) if names else (),
            training_flags(callee.modules),
            tuple(_with_modules(leaves)),
            settings(),
        )

    def with_samples(self, call_spec: CallSpec, count: int) -> Signature:
        """Return the signature with another number of samples in every batched leaf."""
        leaves: list[object] = []
        for described, dim in zip(self.leaves, call_spec.dims, strict=True):
            if dim is None or not isinstance(described, tuple):
                leaves.append(described)
            else:
                shape, *kind = described
                sizes = (*shape[:dim], count, *shape[dim + 1 :])
                leaves.append((torch.Size(sizes), *kind))
        return replace(self, leaves=tuple(leaves))

    def check(
        self, callee: Callee, leaves: Sequence[Any], structure: pytrees.Structure
    ) -> None:
        """Compare a call with this signature.

        Args:
            callee: The function.
            leaves: Its flattened arguments.
            structure: How they nest.

        Raises:
            PlanMismatchError: It has another; each item is listed with both values.
        """
        fn = callee.fn
        if (
            structure != self.structure
            or describe_leaves(leaves) != self.leaves
            or (self.parameters and parameter_numbers(fn) != self.tied)
            or describe_parameters(fn, [name for name, *_ in self.parameters])
            != self.parameters
            or any(id(leaves[place]) != known for place, known in self.holders)
            or training_flags(callee.modules) != self.training
            or settings() != self.flags
        ):
            args, kwargs = structure.unflatten(leaves)
            names = [name for name, *_ in self.parameters]
            raise PlanMismatchError(
                self._differences(
                    Signature.of(callee, args, kwargs, names), args, kwargs
                )
            )

    def _differences(
        self, got: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> str:
        rows: list[tuple[str, object, object]] = []
        if self.structure == got.structure:
            labels = argument_labels(args, kwargs)
            rows += [
                (f"argument {label}", _words(mine), _words(theirs))
                for label, mine, theirs in zip(
                    labels, self.leaves, got.leaves, strict=True
                )
            ]
        else:
            rows.append(
                ("structure of the arguments", self.structure.spec, got.structure.spec)
            )
        rows += [
            (f"parameter {mine[0]}", mine[1:], theirs[1:])
            for mine, theirs in zip(self.parameters, got.parameters, strict=True)
        ]
        rows += [
            ("parameters, tied ones alike", self.tied, got.tied),
            ("modules among the arguments", self.holders, got.holders),
            ("training flags", _summary(self.training), _summary(got.training)),
            ("settings of torch", self.flags, got.flags),
        ]
        listed = "\n".join(
            f"  same     {what}: {mine}"
            if mine == theirs
            else f"  differs  {what}: planned {mine}, got {theirs}"
            for what, mine, theirs in rows
        )
        return (
            f"The plan was made for another signature:\n{listed}\nMake a plan for the "
            "new one with jacengine.plan(...), or call jacengine.auto(...)."
        )


def describe_leaves(leaves: Sequence[Any]) -> tuple[object, ...]:
    """Describe argument leaves, as `Signature.leaves` says."""
    return tuple(map(_describe, leaves))


def _describe(leaf: object) -> object:
    if isinstance(leaf, Tensor):
        return (leaf.shape, leaf.dtype, leaf.device)
    kind = type(leaf)
    return (kind, leaf) if isinstance(leaf, SELECTING) else kind


def _with_modules(leaves: Sequence[Any]) -> Iterator[tuple[int, int]]:
    for place, leaf in enumerate(leaves):
        if objects_among([leaf]) and references_of(leaf).modules:
            yield place, id(leaf)


def _words(described: object) -> str:
    if isinstance(described, tuple) and len(described) == 3:
        shape, dtype, device = described
        return f"{tuple(shape)} {dtype} {device}"
    if isinstance(described, tuple):
        return repr(described[1])
    return described.__name__ if isinstance(described, type) else str(described)


def describe_parameters(
    fn: Any, names: Sequence[str]
) -> tuple[tuple[str, tuple[int, ...] | None, torch.dtype | None], ...]:
    """Describe parameters by name; `None` for those that are gone."""
    found: list[tuple[str, tuple[int, ...] | None, torch.dtype | None]] = []
    for name in names:
        try:
            parameter = parameter_of(fn, name)
        except (AttributeError, KeyError):
            found.append((name, None, None))
        else:
            found.append((name, tuple(parameter.shape), parameter.dtype))
    return tuple(found)


def _summary(training: tuple[bool, ...]) -> str:
    """Say how many modules are in training mode, and which by number."""
    where = [str(i) for i, flag in enumerate(training) if flag]
    return f"{len(where)} of {len(training)} modules training [{','.join(where)}]"


def settings() -> tuple[object, ...]:
    """Return the settings of torch that change values or speed."""
    return (
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    )
