"""What goes wrong on one rank ends on all, run by every rank of a world."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.func import jacrev, vmap

import jacengine
from jacengine.distributed import planning, sharded_plan
from jacengine.plans.plan import Plan
from jacengine.plans.planning import make_plan
from jacengine.plans.request import PlanRequest
from tests.distributed.calls import close

TIMEOUT_S = 3.0


def points() -> Tensor:
    return torch.randn(6, 4, dtype=torch.float64)


def last_fails(mesh: DeviceMesh, call: Callable[[], Any], reason: str) -> float:
    """Make a call that fails on the last rank; return how long it took."""
    last = mesh.size() - 1
    started = time.perf_counter()
    with pytest.raises(jacengine.ShardError, match=reason) as raised:
        call()
    taken = time.perf_counter() - started
    assert raised.value.rank == last
    assert str(raised.value).startswith(f"Rank {last} of the mesh failed: ")
    assert (raised.value.__cause__ is not None) == (mesh.get_rank() == last)
    # Nothing is broken for the next call.
    x = points()
    close(jacengine.auto(torch.sin, x, mesh=mesh, batch_dim=0), _of_sin(x))
    return taken


def _of_sin(x: Tensor) -> Tensor:
    return torch.diag_embed(x.cos())


def is_last(mesh: DeviceMesh) -> bool:
    return mesh.get_rank() == mesh.size() - 1


def raises_at_first(mesh: DeviceMesh) -> None:
    def fn(x: Tensor) -> Tensor:
        if is_last(mesh):
            raise ValueError("no such thing")
        return x.sin()

    x = points()
    for call in (jacengine.auto, jacengine.plan):
        last_fails(
            mesh,
            functools.partial(call, fn, x, batch_dim=0, mesh=mesh),
            "ValueError: no such thing",
        )


def raises_later(mesh: DeviceMesh) -> None:
    broken = False

    def fn(x: Tensor) -> Tensor:
        if broken and is_last(mesh):
            raise ValueError("no such thing")
        return x.sin()

    x = points()
    plan = jacengine.plan(fn, x, batch_dim=0, mesh=mesh, compiled=False)
    close(plan(x), _of_sin(x))
    broken = True
    last_fails(mesh, lambda: plan(x), "no such thing .computation.")
    broken = False
    close(plan(x), _of_sin(x))


class WrongOnTheLast(torch.autograd.Function):
    """A sine whose derivatives are wrong, where it says so."""

    generate_vmap_rule = True
    wrong = False

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.sin()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * x.cos()

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad_inputs[0] * x.cos() * (2 if WrongOnTheLast.wrong else 1)


def wrong(mesh: DeviceMesh) -> None:
    """Use on no rank what is wrong on one; without another method it is an error."""
    WrongOnTheLast.wrong = is_last(mesh)

    def fn(x: Tensor) -> Any:
        apply: Any = WrongOnTheLast.apply
        return apply(x)

    x = points()
    pushed = ["vmap_jvp", "forward_dual"]
    options: Any = {"batch_dim": 0, "mesh": mesh, "sparsity": None}
    plan = jacengine.plan(fn, x, strategies=[*pushed, "vmap_vjp"], **options)
    assert plan.strategy == "vmap_vjp"
    close(plan(x), _of_sin(x))
    last_fails(
        mesh,
        lambda: jacengine.plan(fn, x, strategies=pushed, **options),
        "No strategy",
    )


def over_budget(mesh: DeviceMesh) -> None:
    options: Any = {"batch_dim": 0, "mesh": mesh}
    options["memory_budget"] = 64 if is_last(mesh) else "1GiB"
    x = points()
    for call in (jacengine.auto, jacengine.plan):
        last_fails(
            mesh,
            functools.partial(call, torch.exp, x, **options),
            "MemoryBudgetError",
        )


def out_of_memory(mesh: DeviceMesh) -> None:
    def fn(x: Tensor) -> Tensor:
        if is_last(mesh):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.sin()

    x = points()
    last_fails(
        mesh, lambda: jacengine.auto(fn, x, batch_dim=0, mesh=mesh), "OutOfMemory"
    )


def another_call(mesh: DeviceMesh) -> None:
    x = points()
    mine = x[:4] if is_last(mesh) else x
    last = mesh.size() - 1

    def differs(call: Callable[[], Any], reason: str) -> None:
        with pytest.raises(jacengine.ShardError, match=reason) as raised:
            call()
        assert raised.value.rank == last

    options: Any = {"batch_dim": 0, "mesh": mesh}
    differs(lambda: jacengine.auto(torch.sin, mine, **options), "another call")
    wrt: Any = (0,) if is_last(mesh) else 0
    differs(lambda: jacengine.plan(torch.sin, x, wrt=wrt, **options), "another call")
    plan = jacengine.plan(torch.sin, x, **options)
    differs(lambda: plan(mine), "another call")
    if is_last(mesh):
        differs(lambda: jacengine.plan(torch.sin, x, **options), "at the step")
    else:
        differs(lambda: plan(x), "at the step")
    close(plan(x), _of_sin(x))


def sleeps(mesh: DeviceMesh) -> None:
    """Let one rank come late: it is told, and the next call is fine again."""
    late = False

    def fn(x: Tensor) -> Tensor:
        if late and is_last(mesh):
            time.sleep(TIMEOUT_S + 1)
        return x.sin()

    x = points()
    plan = jacengine.plan(
        fn, x, batch_dim=0, mesh=mesh, timeout_s=TIMEOUT_S, compiled=False
    )
    late = True
    started = time.perf_counter()
    with pytest.raises(jacengine.ShardError, match="time-out is 3 s") as raised:
        plan(x)
    taken = time.perf_counter() - started
    assert raised.value.rank == mesh.size() - 1
    assert taken < 2 * TIMEOUT_S
    late = False
    close(plan(x), _of_sin(x))


def another_cache(mesh: DeviceMesh) -> None:
    """One rank that has no plan is enough for all to make one."""
    x = points()

    def fn(x: Tensor) -> Tensor:
        return x.sin()

    made: list[Any] = []
    original = planning.plan_shard

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return original(*args, **kwargs)

    options: Any = {"batch_dim": 0, "mesh": mesh, "effort": "none"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharded_plan, "plan_shard", counted)
        for _ in range(3):
            jacengine.auto(fn, x, **options)
        assert len(made) == 1
        if is_last(mesh):
            sharded_plan._PLANS._entries.clear()
        found = jacengine.auto(fn, x, **options)
        assert len(made) == 2
    close(found, _of_sin(x))


def another_disk_cache(mesh: DeviceMesh) -> None:
    """One rank finds another choice on disk, where only the first is verified."""
    x = points()
    names = ["vmap_jvp", "reverse_loop", "vmap_vjp"]
    original = make_plan

    def from_disk(request: PlanRequest, **options: Any) -> Plan:
        plan = original(request, **options)
        if not is_last(mesh):
            return plan
        *others, first = plan.selection.ranked
        found = replace(
            plan.selection, candidates=(first, *others), source="cache"
        ).without_sweeps()
        return Plan(plan.problem, found, plan.signature, plan.compositions, plan.callee)

    def fn(x: Tensor) -> Tensor:
        return x.sin() * x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "make_plan", from_disk)
        plan = jacengine.plan(
            fn,
            x,
            batch_dim=0,
            strategies=names,
            sparsity=None,
            effort="thorough",
            mesh=mesh,
        )
    assert len(set(_told(mesh, plan.strategy))) == 1
    close(plan(x), vmap(jacrev(fn))(x))


def _told(mesh: DeviceMesh, what: Any) -> list[Any]:
    found: list[Any] = [None] * mesh.size()
    torch.distributed.all_gather_object(found, what)
    return found
