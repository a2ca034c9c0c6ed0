"""Leaving no trace: what a call of the user's function could change, put back.

A forward pass may draw random numbers and may write buffers (BatchNorm's running
statistics, spectral norm's vectors). Every pass that a strategy makes starts from the
same state, so that all directions see one function, and the caller finds everything as
it was, also after an exception.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from jacengine._torch_private import buffers_of, version_of
from jacengine.problem.references import references_of

_CPU = torch.device("cpu")


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
            or not torch.equal(self.tensor, self.copy)
        )

    def restore(self) -> None:
        """Put the tensor and its values back."""
        buffers_of(self.owner)[self.name] = self.tensor
        with torch.no_grad():
            self.tensor.copy_(self.copy)


@dataclass
class State:
    """The random generators and buffers at one moment."""

    generators: dict[torch.device, Tensor]
    buffers: list[Buffer] = field(default_factory=list)

    @property
    def drawn(self) -> bool:
        """Whether random numbers were drawn since."""
        return any(
            not torch.equal(_rng_state(device), state)
            for device, state in self.generators.items()
        )

    def changed_buffers(self) -> tuple[tuple[nn.Module, str], ...]:
        """List the buffers written or replaced since."""
        return tuple((b.owner, b.name) for b in self.buffers if b.changed)

    def restore(self) -> None:
        """Put back whatever changed."""
        for device, state in self.generators.items():
            if not torch.equal(_rng_state(device), state):
                _set_rng_state(device, state)
        for buffer in self.buffers:
            if buffer.changed:
                buffer.restore()


class preserve_side_effects:  # noqa: N801 - reads as the context manager it is
    """Record generators and buffers, and put them back at the end.

    A class and not a generator, because every call of a plan enters it.
    """

    def __init__(
        self,
        devices: Iterable[torch.device],
        buffers: Iterable[tuple[nn.Module, str]],
    ) -> None:
        self._devices = devices
        self._buffers = buffers

    def __enter__(self) -> State:
        """Record."""
        generators = {_CPU: torch.get_rng_state()}
        generators |= {device: _rng_state(device) for device in self._devices}
        kept: list[Buffer] = []
        for owner, name in self._buffers:
            tensor = buffers_of(owner).get(name)
            if tensor is not None:
                copy = tensor.detach().clone()
                kept.append(Buffer(owner, name, tensor, version_of(tensor), copy))
        self._state = State(generators, kept)
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


def all_buffers(fn: Any) -> list[tuple[nn.Module, str]]:
    """List the buffers of every module that a function can be seen to use."""
    return [
        (owner, name)
        for module in reachable_modules(fn)
        for owner in module.modules()
        for name, tensor in buffers_of(owner).items()
        if tensor is not None
    ]


def reachable_modules(fn: Any) -> list[nn.Module]:
    """Find the modules behind a callable."""
    return list(references_of(fn).modules)


def _rng_state(device: torch.device) -> Tensor:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.get_rng_state()


def _set_rng_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
