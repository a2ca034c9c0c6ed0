"""`plan` and `auto` over a mesh: ranks compute their shards, and say that they have."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import torch
from torch.distributed.device_mesh import DeviceMesh

from jacengine import pytrees
from jacengine.distributed.channel import Channel, channel_of
from jacengine.distributed.choose_axis import Shard, check_shard
from jacengine.distributed.planning import (
    ShardPlan,
    agreed_budgets,
    describe_request,
    plan_shard,
    refuse_differences,
)
from jacengine.distributed.replica import replica_of, sharded_parameters, unwrapped
from jacengine.distributed.split import Place
from jacengine.errors import ArgumentError
from jacengine.plans.cached_plan import CachedPlan
from jacengine.plans.plan import Plan
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.problem.callee import NO_CALLEE, Callee
from jacengine.problem.problem import Problem
from jacengine.problem.signature import describe_leaves


@dataclass(frozen=True)
class Sharding:
    """How a result is spread over processes.

    Attributes:
        mesh: The ranks.
        shard: Along which axis to split.
        gather: Whether all ranks get the whole result.
        timeout_s: How long ranks wait for each other.
    """

    mesh: DeviceMesh
    shard: Shard
    gather: bool
    timeout_s: float

    def __post_init__(self) -> None:
        """Check what can be checked without the other ranks."""
        check_shard(self.shard)
        if not isinstance(self.gather, bool):
            raise ArgumentError(f"gather={self.gather!r}: expected True or False.")

    @property
    def key(self) -> tuple[Any, ...]:
        """What a plan depends on."""
        return id(self.mesh), self.shard, self.gather, float(self.timeout_s)


@dataclass
class _Entry:
    """A plan in the cache, and when all ranks agreed on it."""

    token: str
    shard: ShardPlan
    cached: CachedPlan


_PLANS = ProcessCache[_Entry](lambda entry: entry.cached.plan.problem)


class ShardedPlan(Plan):
    """A plan whose results are spread over a mesh; all ranks call it together.

    It is the plan of this rank's shard, but called with the arguments of the whole.

    Attributes:
        local: The plan of the rank's own call.
        sharding: How results are spread.
    """

    def __init__(self, fn: Any, shard: ShardPlan, sharding: Sharding) -> None:
        """Spread what a rank's own plan computes."""
        plan = shard.plan
        super().__init__(
            plan.problem,
            plan.selection,
            plan.signature,
            plan.compositions,
            plan.callee,
        )
        self.local, self.sharding = plan, sharding
        self._fn, self._shard = fn, shard

    def __call__(
        self, *args: Any, kwargs: Mapping[str, Any] | None = None, out: Any = None
    ) -> Any:
        """Compute the Jacobian at other arguments of the same signature.

        Args:
            args: The function's positional arguments, the same on all ranks.
            kwargs: Its keyword arguments.
            out: Not over a mesh.

        Returns:
            A `DTensor` in the place of each tensor of the result; tensors with
            `gather=True`.

        Raises:
            ArgumentError: `out` was given.
            ShardError: Some rank could not compute its shard, or is missing.
        """
        if out is not None:
            refuse_out()
        channel = channel_of(self.sharding.mesh, self.sharding.timeout_s)
        plan, named = self.local, kwargs or {}
        with channel.lock:
            if sharded_parameters(self._fn):
                # Parameters may have changed; all ranks gather them before all else.
                plan = plan.of(Callee(replica_of(self._fn), ()))

            def run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
                return plan(*args, kwargs=kwargs)

            ready = _Ready(channel, self._shard, self.sharding, plan.problem)
            return ready.compute(run, args, named)

    def wait(
        self,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> ShardedPlan:
        """Compile on each rank now, as `Plan.wait` does.

        Args:
            args: The function's positional arguments, the same on all ranks.
            kwargs: Its keyword arguments.
            timeout: Seconds to wait for the compiler at most.

        Returns:
            This plan.

        Raises:
            ShardError: Compiling took longer on some rank, or failed.
        """
        channel = channel_of(self.sharding.mesh, self.sharding.timeout_s)
        own, named = self._shard.split.own_call(args, kwargs or {})
        with channel.lock:
            channel.agree(
                "compilation",
                lambda: self.local.wait(*own, kwargs=named, timeout=timeout),
            )
        return self

    def explain(self) -> str:
        """Return what was chosen and why, as a table of this rank's candidates."""
        return f"{self._shard.note}\n{self.local.explain()}"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a mesh belongs to a process."""
        raise TypeError(
            "A plan over a mesh cannot be pickled. Make it on each rank, or save the "
            "choice with plan.save(path)."
        )


def sharded_plan(request: PlanRequest, sharding: Sharding) -> ShardedPlan:
    """Make a plan on all ranks of a mesh.

    Raises:
        ArgumentError: The mesh is none that ranks can be found in.
        ShardError: It is not possible on some rank, or one is missing.
    """
    _refuse_gathered_sparse(request, sharding)
    channel = channel_of(sharding.mesh, sharding.timeout_s)
    fn = unwrapped(request.fn)
    request = replace(request, fn=fn)
    with channel.lock:
        _, told = channel.agree(
            "call", lambda: describe_request(request, sharding.shard), _itself
        )
        refuse_differences(told, "call")
        own = whole_parameters(request)
        shard = plan_shard(
            channel,
            own,
            sharding.shard,
            agreed_budgets(told),
            raced=True,
            gather=sharding.gather,
        )
    return ShardedPlan(fn, shard, sharding)


def compute_sharded(request: PlanRequest, sharding: Sharding, out: Any = None) -> Any:
    """Compute what is requested on all ranks of a mesh, by a plan that is cached.

    Raises:
        ArgumentError: The mesh is none that ranks can be found in, or `out` was given.
        ShardError: It is not possible on some rank, or one is missing.
    """
    if out is not None:
        refuse_out()
    _refuse_gathered_sparse(request, sharding)
    channel = channel_of(sharding.mesh, sharding.timeout_s)
    request = replace(request, fn=unwrapped(request.fn))
    with channel.lock:
        return _compute(channel, request, sharding)


def _compute(channel: Channel, request: PlanRequest, sharding: Sharding) -> Any:
    slots = []

    def looked_up() -> dict[str, Any]:
        said = describe_request(request, sharding.shard)
        slot = _PLANS.slot(request, *sharding.key, held=[sharding.mesh])
        slots.append(slot)
        entry = slot.value
        return {
            **said,
            "token": None if entry is None else entry.token,
            "pays": entry is not None and entry.cached.pays,
        }

    _, told = channel.agree("call", looked_up, _itself)
    refuse_differences(told, "call")
    (slot,) = slots
    entry, own = slot.value, whole_parameters(request)
    pays = any(said["pays"] for said in told)
    same = all(said["token"] == told[0]["token"] for said in told)
    if entry is None or not same or pays:
        # One rank that knows no plan is enough for all to make one anew.
        token = f"{channel.generation}/{channel.count}"
        budgets = agreed_budgets(told)
        shard = plan_shard(
            channel,
            own,
            sharding.shard,
            budgets,
            raced=pays,
            gather=sharding.gather,
        )
        cached = CachedPlan(shard.plan.of(NO_CALLEE), request.calls)
        entry = _Entry(token, replace(shard, plan=cached.plan), cached)
        slot.keep(entry)
    plan, spend = entry.cached.plan, entry.cached.spend

    def run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        started = time.perf_counter()
        try:
            leaves = pytrees.flatten_call(args, kwargs)[0]
            return plan.compute(Callee(own.fn, leaves), leaves)
        finally:
            spend(time.perf_counter() - started)

    ready = _Ready(channel, entry.shard, sharding, plan.problem)
    return ready.compute(run, request.args, request.kwargs)


@dataclass(frozen=True)
class _Ready:
    """All that it takes to compute a shard, but for the arguments."""

    channel: Channel
    shard: ShardPlan
    sharding: Sharding
    problem: Problem

    def compute(
        self,
        run: Callable[[tuple[Any, ...], Mapping[str, Any]], Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Compute this rank's shard; give the whole out once all ranks have."""
        channel, split = self.channel, self.shard.split

        def described(_: Any) -> dict[str, Any]:
            text = repr(describe_leaves(pytrees.flatten_call(args, kwargs)[0]))
            return {"call": hashlib.sha256(text.encode()).hexdigest()}

        with _same_draws(channel, self.problem):
            found, told = channel.agree(
                "computation", lambda: run(*split.own_call(args, kwargs)), described
            )
        refuse_differences(told, "call")
        return split.whole(found, (args, kwargs), _place(channel, self.sharding))


def _place(channel: Channel, sharding: Sharding) -> Place:
    """Return what makes a tensor of the result of its part."""
    if sharding.gather:
        return lambda part: part.gathered(channel)
    return lambda part: part.placed(sharding.mesh)


@contextmanager
def _same_draws(channel: Channel, problem: Problem) -> Generator[None]:
    """Let all ranks draw what rank 0 would draw now, if the function draws at all.

    The random state of each rank is as before afterwards.
    """
    if not problem.stochastic:
        yield
        return
    devices = [device.index for device in problem.devices]

    def states() -> list[str]:
        found = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, devices)]
        return [base64.b64encode(bytes(s.tolist())).decode() for s in found]

    _, told = channel.agree("random state", states, _itself)
    decoded = [bytearray(base64.b64decode(text)) for text in told[0]]
    first, *others = [torch.frombuffer(text, dtype=torch.uint8) for text in decoded]
    with torch.random.fork_rng(devices):
        torch.set_rng_state(first)
        for device, state in zip(devices, others, strict=True):
            torch.cuda.set_rng_state(state, device)
        yield


def whole_parameters(request: PlanRequest) -> PlanRequest:
    """Return the request with whole parameters, which all ranks gather together."""
    fn: Any = request.fn
    return replace(request, fn=replica_of(fn)) if sharded_parameters(fn) else request


def _refuse_gathered_sparse(request: PlanRequest, sharding: Sharding) -> None:
    """Refuse what cannot be gathered.

    Raises:
        ArgumentError: Sparse tensors are to be.
    """
    layout = request.options.layout
    if sharding.gather and layout in {"coo", "csr"}:
        raise ArgumentError(
            f"gather=True does not gather layout={layout!r}; choose layout='values', "
            "whose places jacengine.sparsity(...) tells."
        )


def _itself(said: Any) -> Any:
    return said


def refuse_out() -> NoReturn:
    """Refuse `out=` over a mesh.

    Raises:
        ArgumentError: Always.
    """
    raise ArgumentError(
        "out= and mesh= exclude each other: the result is a DTensor of each rank's "
        "shard. Leave out= out, or copy result.to_local() into it."
    )
