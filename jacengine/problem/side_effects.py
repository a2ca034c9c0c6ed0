"""Leaving no trace: what a call of the user's function could change, put back.

A forward pass may draw random numbers and may write buffers (BatchNorm's running
statistics, spectral norm's vectors). Every pass that a strategy makes starts from the
same state, so that all directions see one function, and the caller finds everything as
it was, also after an exception.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from jacengine._torch_private import (
    OF_EVERY_MODULE,
    buffers_of,
    components_of,
    own_attributes,
    version_of,
)
from jacengine.problem.random_draws import (
    RandomSource,
    RandomState,
    default_sources,
    own_sources,
)
from jacengine.problem.references import LONGEST, References

CONTAINERS = {list, dict, set, OrderedDict}
"""Types of attributes whose contents are compared and restored."""
COPIED = 2**26
"""Bytes of a tensor in an attribute up to which it is restored if it is written."""


@dataclass(frozen=True)
class Buffer:
    """One buffer of one module, as it was."""

    owner: nn.Module
    name: str
    tensor: Tensor
    version: int
    copy: Tensor

    @property
    def changed(self) -> bool:
        """Whether it was written or replaced since.

        Compared by value too: `batch_norm` does not count what it writes.
        """
        now = buffers_of(self.owner).get(self.name)
        return (
            now is not self.tensor
            or version_of(self.tensor) != self.version
            or not same_values(self.tensor, self.copy)
        )

    def restore(self) -> None:
        """Put the tensor and its values back."""
        buffers_of(self.owner)[self.name] = self.tensor
        with torch.no_grad():
            self.tensor.copy_(self.copy)


def same_values(tensor: Tensor, copy: Tensor) -> bool:
    """Tell whether a tensor of any layout has the values of its copy; NaN are equal."""
    if tensor.is_meta:
        return True
    parts, known = components_of(tensor.detach()), components_of(copy.detach())
    if [part.shape for part in parts] != [part.shape for part in known]:
        return False
    pairs = zip(parts, known, strict=True)
    return all(
        torch.equal(one, other) or torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in pairs
    )


class Attributes:
    """The attributes of one module or object, as they were.

    Containers and tensors among them are compared and restored by their contents too.
    """

    def __init__(self, owner: Any, *, whole: bool = False) -> None:
        """Record them.

        Those that every module has are left out (buffers are recorded as such), unless
        the `whole` is wanted.
        """
        self._all = vars(owner)
        self._own = self._all.copy() if whole else own_attributes(owner)
        self._left_out = frozenset[str]() if whole else OF_EVERY_MODULE
        self._contents = {
            name: value.copy()
            for name, value in self._own.items()
            if type(value) in CONTAINERS and len(value) <= LONGEST
        }
        self._tensors = {
            name: (value, version_of(value), value.detach().clone())
            for name, value in self._own.items()
            if type(value) is Tensor
            and value.layout == torch.strided
            and value.nbytes <= COPIED
        }

    def changes(self) -> list[str]:
        """Name those that were set, deleted or written since."""
        found = [n for n, v in self._own.items() if self._all.get(n, self) is not v]
        found += self._added()
        found += [
            name
            for name, kept in self._contents.items()
            if not _same_contents(self._own[name], kept)
        ]
        found += [
            name
            for name, (tensor, known, _) in self._tensors.items()
            if version_of(tensor) != known
        ]
        return found

    def restore(self) -> None:
        """Put them back."""
        for name in self._added():
            del self._all[name]
        self._all.update(self._own)
        for name, kept in self._contents.items():
            value = self._own[name]
            if not _same_contents(value, kept):
                value.clear()
                value.extend(kept) if isinstance(value, list) else value.update(kept)
        for tensor, known, copy in self._tensors.values():
            if version_of(tensor) != known:
                with torch.no_grad():
                    tensor.copy_(copy)

    def _added(self) -> list[str]:
        return [
            name
            for name in self._all.keys() - self._own.keys()
            if name not in self._left_out
        ]


def _same_contents(value: Any, kept: Any) -> bool:
    if len(value) != len(kept):
        return False
    if isinstance(value, dict):
        return all(value.get(key, kept) is held for key, held in kept.items())
    if isinstance(value, set):
        return bool(value == kept)
    return all(now is held for now, held in zip(value, kept, strict=True))


@dataclass
class State:
    """The random generators, buffers and attributes at one moment."""

    defaults: list[RandomState]
    own: list[RandomState]
    buffers: list[Buffer] = field(default_factory=list[Buffer])
    attributes: list[Attributes] = field(default_factory=list[Attributes])

    @property
    def own_drawn(self) -> bool:
        """Whether a generator was used that is not one of torch's default ones."""
        return any(state.drawn for state in self.own)

    @property
    def attributes_changed(self) -> bool:
        """Whether attributes of modules or objects were changed."""
        return any(attributes.changes() for attributes in self.attributes)

    def changed_buffers(self) -> tuple[tuple[nn.Module, str], ...]:
        """List the buffers written or replaced since."""
        return tuple((b.owner, b.name) for b in self.buffers if b.changed)

    def restore(self) -> None:
        """Put back whatever changed."""
        for generator in (*self.defaults, *self.own):
            generator.restore()
        for buffer in self.buffers:
            if buffer.changed:
                buffer.restore()
        for attributes in self.attributes:
            if attributes.changes():
                attributes.restore()


class preserve_side_effects:  # noqa: N801 - reads as the context manager it is
    """Record generators, buffers and attributes, and put them back at the end.

    A class and not a generator, because every call of a plan enters it.
    """

    def __init__(
        self,
        devices: Iterable[torch.device] | None,
        buffers: Iterable[tuple[nn.Module, str]],
        references: References | None = None,
    ) -> None:
        """Prepare.

        Args:
            devices: Accelerators whose default generators are recorded, besides the
                CPU's; `None` if none is, since other threads draw from them too.
            buffers: The buffers to record.
            references: What a function refers to: the attributes of all modules and
                objects, and the generators, among it are recorded too.
        """
        self._devices = devices
        self._buffers = buffers
        self._references = references

    def __enter__(self) -> State:
        """Record."""
        defaults = [] if self._devices is None else default_sources(self._devices)
        own: list[RandomSource] = []
        attributes: list[Attributes] = []
        if (found := self._references) is not None:
            own = own_sources(found.generators)
            owners = [m for module in found.modules for m in module.modules()]
            attributes = [Attributes(owner) for owner in (*owners, *found.objects)]
        kept: list[Buffer] = []
        for owner, name in self._buffers:
            tensor = buffers_of(owner).get(name)
            if tensor is not None:
                copy = tensor.detach().clone()
                kept.append(Buffer(owner, name, tensor, version_of(tensor), copy))
        self._state = State(
            [RandomState(source) for source in defaults],
            [RandomState(source) for source in own],
            kept,
            attributes,
        )
        return self._state

    def __exit__(self, *_: object) -> None:
        """Put back whatever changed."""
        self._state.restore()


@contextmanager
def requiring_gradients(parameters: Iterable[Tensor]) -> Generator[None]:
    """Let autograd record frozen parameters that are differentiated all the same."""
    frozen = [p for p in parameters if not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_()
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
