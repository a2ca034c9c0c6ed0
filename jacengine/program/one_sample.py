"""The program of a function on one sample, or of all of it where there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.problem.bound_function import BoundFunction
from jacengine.program.program import Program, Programs


@dataclass(frozen=True)
class Captured:
    """A program, and how the arguments of a call enter it.

    Attributes:
        program: The program, of a batch of one sample.
        inputs: Its inputs; in the place of an argument, an example of its shape.
        places: The place of each argument leaf among them, if it is read.
    """

    program: Program
    inputs: tuple[Any, ...]
    places: tuple[int | None, ...]

    def values(self, call: BoundFunction) -> list[Any]:
        """Return what the inputs are at the first sample of a call."""
        found = list(self.inputs)
        leaves = zip(call.leaves, call.call_spec.dims, self.places, strict=True)
        for leaf, dim, k in leaves:
            if k is not None:
                found[k] = leaf if dim is None else leaf.narrow(dim, 0, 1)
        return [x.detach() if type(x) is Tensor else x for x in found]


class SamplePrograms:
    """The programs of the calls of one signature, of one sample each."""

    def __init__(self, call: BoundFunction, *, flat: bool = False) -> None:
        """Prepare to capture calls of this signature.

        Args:
            call: One of them.
            flat: Whether the programs are of all outputs, flattened and joined, without
                aux; else there has to be one output and no aux.
        """
        self._flat = flat
        self._programs = Programs()
        pairs = zip(call.leaves, call.call_spec.dims, strict=True)
        self._examples = [_example(leaf, dim) for leaf, dim in pairs]

    def of(self, call: BoundFunction) -> Captured:
        """Return the program of a call.

        Raises:
            UnsupportedError: It has no program, with the reason.
            RuntimeError: It cannot be captured.
        """
        pairs = zip(self._examples, call.leaves, strict=True)
        given = [one if isinstance(one, Tensor) else leaf for one, leaf in pairs]
        args, kwargs = call.call_spec.structure.unflatten(given)
        fn: Any = call.callee.fn
        if self._flat:
            fn = _FlatOutputs(fn, has_aux=call.has_aux)
        program, inputs = self._programs.of(fn, args, kwargs)
        place = {id(example): k for k, example in enumerate(inputs)}
        return Captured(
            program,
            tuple(inputs),
            tuple(
                place.get(id(example)) if isinstance(example, Tensor) else None
                for example in self._examples
            ),
        )


class _FlatOutputs:
    """A function that returns all outputs of another as one flat tensor."""

    def __init__(self, fn: Any, *, has_aux: bool) -> None:
        self._fn, self._has_aux = fn, has_aux

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        returned = self._fn(*args, **kwargs)
        if self._has_aux:
            returned, _ = returned
        leaves, _ = pytrees.flatten(returned)
        return torch.cat([leaf.reshape(-1) for leaf in leaves])


def _example(leaf: Any, dim: int | None) -> Any:
    """Return a tensor like one sample of a leaf; its memory is never touched."""
    if not isinstance(leaf, Tensor):
        return leaf
    sizes = [1 if axis == dim else size for axis, size in enumerate(leaf.shape)]
    example = torch.empty(sizes, dtype=leaf.dtype, device=leaf.device)
    return example.requires_grad_(leaf.is_floating_point())
