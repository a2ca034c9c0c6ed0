"""Isolation of candidates: what one of them changes is detected and restored.

While a method is chosen, candidates run on copies of the arguments; what one of them
writes to those, or changes about the modules (training flags, hooks, `requires_grad`,
`.grad`), is restored before the next one runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from jacengine._torch_private import hooks_of
from jacengine.problem.bound_function import BoundFunction


@dataclass(frozen=True)
class _Module:
    module: nn.Module
    training: bool
    hooks: tuple[tuple[dict[int, Any], dict[int, Any]], ...]


@dataclass(frozen=True)
class _Parameter:
    parameter: Tensor
    requires_grad: bool
    grad: Tensor | None


class Isolation:
    """A function with copies of its arguments, and the state of its modules.

    Attributes:
        bound: The function with the copies.
    """

    def __init__(self, bound: BoundFunction, roots: Sequence[nn.Module]) -> None:
        """Copy the arguments and note the state of the modules."""
        self._originals = bound.leaves
        copies = tuple(
            leaf.detach().clone().requires_grad_(leaf.requires_grad)
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided
            else leaf
            for leaf in bound.leaves
        )
        self.bound = replace(bound, leaves=copies)
        self._modules = [
            _Module(m, m.training, tuple((kept, dict(kept)) for kept in hooks_of(m)))
            for root in roots
            for m in root.modules()
        ]
        self._parameters = [
            _Parameter(p, p.requires_grad, p.grad)
            for root in roots
            for p in root.parameters()
        ]

    def restore(self) -> str | None:
        """Restore what a candidate changed.

        Returns:
            What that was, in words; `None` if nothing.
        """
        found = {self._arguments(), self._flags(), self._gradients()} - {None}
        return ", ".join(sorted(str(what) for what in found)) or None

    def _arguments(self) -> str | None:
        changed = None
        for copy, original in zip(self.bound.leaves, self._originals, strict=True):
            if not isinstance(copy, Tensor) or copy is original:
                continue
            if not torch.equal(copy.nan_to_num(), original.nan_to_num()):
                with torch.no_grad():
                    copy.copy_(original)
                changed = "arguments"
        return changed

    def _flags(self) -> str | None:
        changed = None
        for kept in self._modules:
            if kept.module.training != kept.training:
                kept.module.training = kept.training
                changed = "training flags"
            for now, before in kept.hooks:
                if now != before:
                    now.clear()
                    now.update(before)
                    changed = "hooks"
        return changed

    def _gradients(self) -> str | None:
        changed = None
        for kept in self._parameters:
            if kept.parameter.requires_grad != kept.requires_grad:
                kept.parameter.requires_grad_(kept.requires_grad)
                changed = "requires_grad"
            if kept.parameter.grad is not kept.grad:
                kept.parameter.grad = kept.grad
                changed = "gradients"
        return changed
