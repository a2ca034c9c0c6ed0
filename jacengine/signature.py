"""What a plan is bound to: everything its choice and its layout depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from jacengine import trees
from jacengine.errors import PlanMismatchError
from jacengine.state import reachable_modules


@dataclass(frozen=True)
class Signature:
    """The structure of a call's arguments and the state of the modules behind it.

    Attributes:
        structure: How the arguments nest.
        leaves: Shape, dtype and device of each tensor; the type of anything else.
        training: The training flags of all modules.
        flags: Settings of torch that change values or speed.
    """

    structure: trees.Structure
    leaves: tuple[object, ...]
    training: tuple[bool, ...]
    flags: tuple[object, ...]

    @classmethod
    def of(cls, fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Signature:
        """Take the signature of a call."""
        leaves, structure = trees.flatten((args, dict(kwargs)))
        return cls(
            structure, tuple(map(_describe, leaves)), _training(fn), _flags()
        )

    def require(
        self, fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Check a call against this signature.

        Raises:
            PlanMismatchError: It differs; each item is listed with both values.
        """
        got = Signature.of(fn, args, kwargs)
        if got == self:
            return
        labels = trees.paths((args, dict(kwargs)))
        rows = [
            ("structure of the arguments", self.structure == got.structure, "", ""),
        ]
        if self.structure == got.structure:
            rows += [
                (f"argument {label}", mine == theirs, mine, theirs)
                for label, mine, theirs in zip(
                    labels, self.leaves, got.leaves, strict=True
                )
            ]
        rows += [
            ("training flags", self.training == got.training, "", ""),
            ("settings of torch", self.flags == got.flags, self.flags, got.flags),
        ]
        listed = "\n".join(
            f"  same     {what}: {mine}" if same else
            f"  differs  {what}: planned {mine}, got {theirs}".replace(
                ": planned , got ", ""
            )
            for what, same, mine, theirs in rows
        )
        raise PlanMismatchError(
            "The plan was made for another signature:\n"
            f"{listed}\nMake a plan for the new one with jacengine.plan(...), or call "
            "jacengine.auto(...), which keeps one a signature."
        )


def _describe(leaf: object) -> object:
    if isinstance(leaf, Tensor):
        return (tuple(leaf.shape), leaf.dtype, str(leaf.device))
    return type(leaf).__name__


def _training(fn: Any) -> tuple[bool, ...]:
    if isinstance(fn, nn.Module):
        return tuple(module.training for module in fn.modules())
    return tuple(
        module.training for root in reachable_modules(fn) for module in root.modules()
    )


def _flags() -> tuple[object, ...]:
    return (
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
        torch.get_float32_matmul_precision(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    )
