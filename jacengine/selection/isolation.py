"""Isolation of candidates: what one of them changes is detected and restored.

While a method is chosen, candidates run on copies of the arguments; what one of them
writes to those, or changes about the modules (training flags, hooks, `requires_grad`,
`.grad`), is restored before the next one runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from jacengine._torch_private import hooks_of
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.side_effects import same_values


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
        modules = [module for root in roots for module in root.modules()]
        parameters = [p for root in roots for p in root.parameters()]
        self._training = [(module, module.training) for module in modules]
        self._hooks = [(h, dict(h)) for module in modules for h in hooks_of(module)]
        self._parameters = [(p, p.requires_grad, p.grad) for p in parameters]

    def restore(self) -> str | None:
        """Restore what a candidate changed.

        Returns:
            What that was, in words; `None` if nothing.
        """
        return ", ".join(sorted(set(self._restored()))) or None

    def _restored(self) -> Iterator[str]:
        for copy, original in zip(self.bound.leaves, self._originals, strict=True):
            if not isinstance(copy, Tensor) or copy is original:
                continue
            if not same_values(copy, original):
                with torch.no_grad():
                    copy.copy_(original)
                yield "arguments"
        for module, training in self._training:
            if module.training != training:
                module.training = training
                yield "training flags"
        for hooks, before in self._hooks:
            if hooks != before:
                hooks.clear()
                hooks.update(before)
                yield "hooks"
        for parameter, requires_grad, grad in self._parameters:
            if parameter.requires_grad != requires_grad:
                parameter.requires_grad_(requires_grad)
                yield "requires_grad"
            if parameter.grad is not grad:
                parameter.grad = grad
                yield "gradients"
