"""How ranks talk: each says one thing at a step, and hears what all others say.

A rank that fails says so at the next step, and all ranks raise the same error. A rank
that says nothing within the time-out is named by its count of steps, which every rank
keeps in the store of the process group.
"""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from jacengine._torch_private import store_of
from jacengine.errors import ArgumentError, ShardError
from jacengine.selection.candidate_result import classify_error

T = TypeVar("T")
FIRST = 2048
"""Bytes of a message that travel at once; the rest of longer ones follows."""
HEADER = 8
"""Bytes that hold the length of a message."""
NOTE = "failed"
"""The key of the store under which the first rank to notice says who is missing."""


class Channel:
    """The ranks of a mesh, in process groups of our own.

    Attributes:
        rank: The place of this process among the ranks.
        size: The number of ranks.
        broken: Whether a rank went missing; the groups are of no use then.
        lock: Held by a computation: threads would mix their steps up.
    """

    def __init__(self, ranks: Sequence[int], timeout_s: float, generation: int) -> None:
        """Meet the other ranks.

        Raises:
            ShardError: One of them does not come within the time-out.
        """
        self.rank, self.size = ranks.index(dist.get_rank()), len(ranks)
        self.world = dist.group.WORLD
        self.broken = False
        self.lock = threading.RLock()
        self.generation, self._steps = generation, 0
        self._ranks = tuple(ranks)
        self._timeout = timedelta(seconds=timeout_s)
        name = f"jacengine/{'-'.join(map(str, ranks))}/{timeout_s}/{generation}"
        self._store = store_of(name)
        self._meet()
        self._groups = {"cpu": self._new_group("gloo")}

    @property
    def count(self) -> int:
        """The number of steps that were taken so far."""
        return self._steps

    def agree(
        self,
        step: str,
        run: Callable[[], T],
        describe: Callable[[T], Any] = lambda _: None,
    ) -> tuple[T, list[Any]]:
        """Compute something on each rank; hear whether all could, and what they say.

        Args:
            step: What is computed, in words; ranks have to be at the same.
            run: Computes it. It must not talk to other ranks.
            describe: What to tell the others, as JSON has it.

        Returns:
            What this rank has computed, and what each rank tells.

        Raises:
            ShardError: Some rank could not, or is missing, or is elsewhere.
        """
        found: list[T] = []
        said, error = None, None
        try:
            found.append(run())
            said = describe(found[0])
        except Exception as raised:
            error = raised
        reason = None if error is None else classify_error(error)[1]
        heard = self._exchange({"step": step, "failed": reason, "says": said})
        for rank, message in enumerate(heard):
            if message["step"] != heard[0]["step"]:
                raise ShardError(
                    rank,
                    f"it is at the step {message['step']!r}, while rank 0 is at "
                    f"{heard[0]['step']!r}. All ranks have to make the same calls in "
                    "the same order.",
                ) from error
        for rank, message in enumerate(heard):
            if message["failed"] is not None:
                said = f"{message['failed']} ({step})"
                raise ShardError(rank, said) from error
        return found[0], [message["says"] for message in heard]

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Collect tensors of one shape and dtype from all ranks, in their order."""
        own = tensor.detach().contiguous()
        found = [torch.empty_like(own) for _ in range(self.size)]
        group = self._group_for(own.device)
        self._run(lambda: dist.all_gather(found, own, group=group))
        return self._in_order(found)

    def add(self, tensor: Tensor) -> Tensor:
        """Add tensors of one shape and dtype over all ranks."""
        # Collectives add entries in the order of memory, which has to be that of all.
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        group = self._group_for(total.device)
        self._run(lambda: dist.all_reduce(total, group=group))
        return total

    def send_from(self, rank: int, tensor: Tensor) -> Tensor:
        """Give all ranks the tensor of one; others pass one of its shape and dtype."""
        sent = tensor.detach().contiguous()
        group = self._group_for(sent.device)
        self._run(lambda: dist.broadcast(sent, self._ranks[rank], group=group))
        return sent

    def _exchange(self, message: dict[str, Any]) -> list[Any]:
        """Tell all ranks a message; return the messages of all, in their order."""
        text = json.dumps(message).encode()
        framed = len(text).to_bytes(HEADER, "little") + text
        first = self.gather(_packed(framed[:FIRST], FIRST))
        lengths = [int.from_bytes(bytes(t[:HEADER].tolist()), "little") for t in first]
        room = max(0, max(lengths) + HEADER - FIRST)
        rest = self.gather(_packed(framed[FIRST:], room)) if room else first
        texts = [
            bytes(a[HEADER:].tolist()) + (bytes(b.tolist()) if room else b"")
            for a, b in zip(first, rest, strict=True)
        ]
        pairs = zip(texts, lengths, strict=True)
        return [json.loads(text[:length]) for text, length in pairs]

    def _run(self, collective: Callable[[], object]) -> None:
        """Take a step together with all ranks.

        Raises:
            ShardError: A rank is missing.
        """
        self._refuse_broken()
        self._steps += 1
        try:
            self._store.set(str(self.rank), str(self._steps))
            collective()
        except RuntimeError as error:
            missing = self._missing()
            self._give_up(missing, "it did not come" if missing else str(error))
            self._refuse_broken(error)

    def _refuse_broken(self, cause: Exception | None = None) -> None:
        """Raise what the first rank that noticed has noted, if one has."""
        lost = "the store of the process group is lost"
        note: dict[str, Any] = {"rank": None, "reason": lost}
        with suppress(RuntimeError):
            if not self._store.check([NOTE]):
                return
            note = json.loads(self._store.get(NOTE))
        self.broken = True
        raise ShardError(note["rank"], note["reason"]) from cause

    def _give_up(self, missing: Sequence[int], reason: str) -> None:
        """Note for all ranks which one is missing; the first note stays."""
        rank = missing[0] if missing else None
        if missing:
            seconds = self._timeout.total_seconds()
            others = f" Nor did {_listed(missing[1:])}." if missing[1:] else ""
            reason = (
                f"{reason} (the time-out is {seconds:g} s): its process ended, is "
                "stuck, or makes other calls. Pass a larger timeout_s= if it is slow."
                f"{others}"
            )
        with suppress(RuntimeError):
            note = json.dumps({"rank": rank, "reason": reason})
            self._store.compare_set(NOTE, "", note)

    def _missing(self) -> list[int]:
        """List the ranks that have taken fewer steps than this one."""
        with suppress(RuntimeError):
            return [
                rank
                for rank in range(self.size)
                if not self._store.check([str(rank)])
                or int(self._store.get(str(rank))) < self._steps
            ]
        return []

    def _meet(self) -> None:
        """Wait until all ranks are there, before any group is made.

        Raises:
            ShardError: One is not.
        """
        self._store.set(str(self.rank), "0")
        try:
            self._store.wait(list(map(str, range(self.size))), self._timeout)
        except RuntimeError as error:
            self._give_up(self._missing(), "it did not come")
            self._refuse_broken(error)

    def _new_group(self, backend: str) -> dist.ProcessGroup:
        """Make a group of these ranks, and wait for all of them there.

        Raises:
            ShardError: One does not come.
            RuntimeError: That cannot be told to the others.
        """
        self._refuse_broken()
        try:
            group: Any = dist.new_group(
                sorted(self._ranks),
                timeout=self._timeout,
                backend=backend,
                use_local_synchronization=True,
            )
            if backend == "gloo":
                dist.monitored_barrier(group, self._timeout, wait_all_ranks=True)
        except RuntimeError as error:
            self._give_up([], str(error))
            self._refuse_broken(error)
            raise
        made: dist.ProcessGroup = group
        return made

    def _group_for(self, device: torch.device) -> dist.ProcessGroup:
        kind = device.type
        if kind not in self._groups:
            self._groups[kind] = self._new_group("nccl" if kind == "cuda" else "gloo")
        return self._groups[kind]

    def _in_order(self, tensors: list[Tensor]) -> list[Tensor]:
        """Bring what a group has gathered, by global rank, into the order of ranks."""
        by_global = sorted(self._ranks)
        return [tensors[by_global.index(rank)] for rank in self._ranks]


_CHANNELS: dict[tuple[tuple[int, ...], float], Channel] = {}
"""The channel to each set of ranks, by time-out."""
# Groups have threads of gloo, which have to end while Python still runs.
atexit.register(_CHANNELS.clear)
_OPENED: dict[tuple[tuple[int, ...], float], int] = {}
"""How many channels were opened, on each rank as many; one that is broken stays so."""


def channel_of(mesh: DeviceMesh, timeout_s: float) -> Channel:
    """Return the channel to the ranks of a mesh.

    Raises:
        ArgumentError: It is no mesh of one dimension, this process has no place in it,
            or the time-out is none.
        ShardError: A rank does not come within the time-out.
    """
    ranks = _ranks_of(mesh)
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        raise ArgumentError(f"timeout_s={timeout_s!r}: expected seconds.")
    if not 0 < timeout_s < 1e6:
        raise ArgumentError(f"timeout_s={timeout_s!r}: expected more than 0 seconds.")
    key = ranks, float(timeout_s)
    known = _CHANNELS.get(key)
    if known is None or known.broken or known.world is not dist.group.WORLD:
        _CHANNELS.pop(key, None)
        generation = _OPENED.get(key, 0)
        _OPENED[key] = generation + 1
        known = _CHANNELS[key] = Channel(*key, generation)
    return known


def _ranks_of(mesh: object) -> tuple[int, ...]:
    if not isinstance(mesh, DeviceMesh):
        raise ArgumentError(
            f"mesh={mesh!r}: expected a torch.distributed.DeviceMesh, such as "
            "init_device_mesh('cpu', (world_size,))."
        )
    if mesh.ndim != 1:
        raise ArgumentError(
            f"mesh= has {mesh.ndim} dimensions; expected one. Pass one of them by its "
            "name, as in mesh['data']."
        )
    ranks = tuple(int(rank) for rank in mesh.mesh.tolist())
    if dist.get_rank() not in ranks:
        raise ArgumentError(
            f"mesh= has the ranks {list(ranks)}, and this process is rank "
            f"{dist.get_rank()}. Call this on the ranks of the mesh alone."
        )
    return ranks


def _packed(data: bytes, size: int) -> Tensor:
    padded = bytearray(data.ljust(size, b"\0"))
    return torch.frombuffer(padded, dtype=torch.uint8)


def _listed(ranks: Sequence[int]) -> str:
    return ", ".join(f"rank {rank}" for rank in ranks)
