"""The user's function, and what it can be seen to use."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from jacengine._torch_private import buffers_of
from jacengine.problem.references import References, objects_among, references_of
from jacengine.problem.side_effects import preserve_side_effects


class Callee:
    """A function, with what it refers to, which is looked up once.

    A problem and its methods refer to none, so that a cache can keep them without
    keeping a model alive, and so that they serve every function with the same code.

    Attributes:
        fn: The user's function or module.
        objects: Arguments of it that are no tensors and may refer to something.
    """

    def __init__(self, fn: Any, leaves: Iterable[Any]) -> None:
        """Describe a function that is given these argument leaves."""
        self.fn = fn
        self.objects = objects_among(leaves)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the function, and none of what is looked up."""
        return Callee, (self.fn, self.objects)

    @functools.cached_property
    def references(self) -> References:
        """What the function, and objects that it is given, refer to."""
        return self.refer_now()

    def refer_now(self) -> References:
        """Look up what the function refers to now."""
        return references_of(self.fn, *self.objects)

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The modules that the function can be seen to use."""
        return self.references.modules

    @property
    def buffers(self) -> list[tuple[nn.Module, str]]:
        """The buffers of those modules, always in the same order."""
        return [
            (owner, name)
            for module in self.modules
            for owner in module.modules()
            for name, tensor in buffers_of(owner).items()
            if tensor is not None
        ]

    @property
    def held_bytes(self) -> int:
        """The size of the tensors that it refers to.

        Without the weights of torch's own layers, which no pass expands.
        """
        inside = [
            tensor
            for module in self.modules
            for layer in module.modules()
            if not type(layer).__module__.startswith("torch.nn.")
            for tensor in (
                *layer.parameters(recurse=False),
                *layer.buffers(recurse=False),
            )
        ]
        held = {id(tensor): tensor for tensor in (*self.references.tensors, *inside)}
        return sum(t.numel() * t.element_size() for t in held.values())

    def buffers_at(self, places: Sequence[int]) -> tuple[tuple[nn.Module, str], ...]:
        """Return the buffers at these places in `buffers`."""
        if not places:
            return ()
        every = self.buffers
        return tuple(every[place] for place in places if place < len(every))

    def places_of(self, buffers: Sequence[tuple[nn.Module, str]]) -> tuple[int, ...]:
        """Return the places of these buffers in `buffers`."""
        wanted = {(id(owner), name) for owner, name in buffers}
        return tuple(
            place
            for place, (owner, name) in enumerate(self.buffers)
            if (id(owner), name) in wanted
        )

    def preserve_everything(self) -> preserve_side_effects:
        """Return the context that puts all buffers, attributes and generators back."""
        return preserve_side_effects(None, self.buffers, self.references)


def _absent(*_: Any, **__: Any) -> Any:
    raise RuntimeError("a plan was called that has no function")


NO_CALLEE = Callee(_absent, ())
"""What a plan has in a cache."""
