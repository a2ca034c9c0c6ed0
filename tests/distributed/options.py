"""Sparse layouts, random functions, wrapped modules, options; run by every rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.func import jacrev, vmap
from torch.nn.parallel import DistributedDataParallel

import jacengine
from jacengine.distributed.part import SparseShard
from tests.distributed.calls import by_parameters, close, mlp
from tests.distributed.faults import is_last


def tridiagonal(x: Tensor) -> Tensor:
    padded = nn.functional.pad(x, (1, 1))
    return padded[..., :-2] * x + x.sin() - padded[..., 2:]


def sparse(mesh: DeviceMesh, layout: str) -> None:
    x = torch.randn(5, 8, dtype=torch.float64)
    expected = vmap(jacrev(tridiagonal))(x)
    options: Any = {"layout": layout, "batch_dim": 0, "mesh": mesh}
    found = jacengine.auto(tridiagonal, x, **options)
    if layout == "values":
        pattern = jacengine.sparsity(tridiagonal, x, batch_dim=0)
        close(found, expected[:, pattern.rows, pattern.columns])
        return
    assert isinstance(found, SparseShard)
    assert found.shape == (5, 8, 8)
    assert str(found.local.layout) == f"torch.sparse_{layout}"
    torch.testing.assert_close(found.local.to_dense(), expected[found.samples])
    with pytest.raises(jacengine.ShardError, match="holds all rows"):
        jacengine.auto(tridiagonal, x, shard="rows", **options)
    with pytest.raises(jacengine.ArgumentError, match="gather"):
        jacengine.auto(tridiagonal, x, gather=True, **options)


def dropped(mesh: DeviceMesh, randomness: Any) -> None:
    """J is at the draw of rank 0, for any number of ranks."""
    torch.manual_seed(7)
    network = mlp()
    model = nn.Sequential(network, nn.Dropout(0.5)).train()
    x = torch.randn(6, 5, dtype=torch.float64)
    for batch_dim in (None, 0):
        options: Any = {"batch_dim": batch_dim, "randomness": randomness}
        torch.manual_seed(3)
        state = torch.get_rng_state()
        kept = model(x) == 0
        expected = vmap(jacrev(network))(x) * 2
        expected[kept] = 0
        if batch_dim is None:
            expected = torch.stack(
                [
                    torch.stack([e if i == j else 0 * e for j in range(6)], 1)
                    for i, e in enumerate(expected)
                ]
            )
        torch.manual_seed(3 + mesh.get_rank())
        before = torch.get_rng_state()
        assert mesh.get_rank() or torch.equal(before, state)
        found = jacengine.auto(model, x, mesh=mesh, **options)
        assert torch.equal(torch.get_rng_state(), before)
        close(found, expected)
        plan = jacengine.plan(model, x, mesh=mesh, shard="columns", **options)
        close(plan(x), expected)
    with pytest.raises(jacengine.ShardError, match="draws random numbers for the"):
        jacengine.auto(model, x, mesh=mesh, shard="samples", **options)


def normalised(mesh: DeviceMesh) -> None:
    """Split by rows where samples depend on each other."""
    torch.manual_seed(2)
    linear, norm = nn.Linear(3, 4).double(), nn.BatchNorm1d(4).double()
    model = nn.Sequential(linear, norm)
    x = torch.randn(6, 3, dtype=torch.float64)
    buffers = [b.clone() for b in model.buffers()]
    J = jacengine.auto(model, x, wrt=["0.weight"], batch_dim=0, mesh=mesh)

    def fn(weight: Tensor) -> Tensor:
        y = x @ weight.T + linear.bias
        return nn.functional.batch_norm(
            y, None, None, norm.weight, norm.bias, training=True
        )

    close(J, {"0.weight": jacrev(fn)(linear.weight.detach())})
    assert all(map(torch.equal, buffers, model.buffers()))
    with pytest.raises(jacengine.ShardError, match="change of one sample's input"):
        jacengine.auto(model, x, batch_dim=0, mesh=mesh)


def wrapped_in_ddp(mesh: DeviceMesh) -> None:
    model, x = mlp(), torch.randn(5, 5, dtype=torch.float64)
    ddp: nn.Module = DistributedDataParallel(model)
    options: Any = {"wrt": "params", "batch_dim": 0, "mesh": mesh}
    close(jacengine.auto(ddp, x, **options), by_parameters(model, x))


def fully_sharded(mesh: DeviceMesh) -> None:
    plain, x = mlp(), torch.randn(5, 5, dtype=torch.float64)
    model = mlp()
    seen: list[int] = []
    first = model.get_submodule("0")
    first.register_forward_hook(lambda *_: seen.append(1))
    fully_shard(first, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert isinstance(first.weight, DTensor)
    options: Any = {"wrt": "params", "batch_dim": 0, "mesh": mesh}
    close(jacengine.auto(model, x, **options), by_parameters(plain, x))
    assert seen, "the user's own hook is called"
    plan = jacengine.plan(model, x, **options)
    close(plan(x), by_parameters(plain, x))
    with torch.no_grad():
        for p, q in zip(model.parameters(), plain.parameters(), strict=True):
            p.mul_(0.5)
            q.mul_(0.5)
    close(plan(x), by_parameters(plain, x))
    close(jacengine.auto(model, x, **options), by_parameters(plain, x))
    assert isinstance(first.weight, DTensor)
    with pytest.raises(jacengine.ShardError, match="parameters are spread"):
        jacengine.auto(model, x, memory_budget=100, **options)


def refusals(mesh: DeviceMesh) -> None:
    x = torch.randn(3, 2, dtype=torch.float64)

    def refused(match: str, **options: Any) -> None:
        given: Any = {"batch_dim": 0, "mesh": mesh, **options}
        with pytest.raises(jacengine.JacengineError, match=match):
            jacengine.auto(torch.sin, x, **given)
        with pytest.raises(jacengine.JacengineError, match=match):
            jacengine.plan(torch.sin, x, **given)

    refused("create_graph=True and mesh=", create_graph=True)
    refused("has_aux=True and mesh=", has_aux=True)
    refused("expected one of 'auto', 'samples'", shard="diagonal")
    refused("expected True or False", gather="yes")
    refused("expected a torch.distributed.DeviceMesh", mesh=3)
    refused("timeout_s=", timeout_s=0)
    refused("timeout_s=", timeout_s="long")
    refused("no independent samples", batch_dim=None, shard="samples")
    refused("need a mesh", mesh=None, shard="rows")
    with pytest.raises(jacengine.ShardError, match="is no matrix"):
        jacengine.plan(
            torch.sin, x, batch_dim=0, quantity="laplacian", shard="rows", mesh=mesh
        )
    out = torch.empty(3, 2, 2, dtype=torch.float64)
    with pytest.raises(jacengine.ArgumentError, match="out= and mesh="):
        jacengine.auto(torch.sin, x, batch_dim=0, mesh=mesh, out=out)
    plan = jacengine.plan(torch.sin, x, batch_dim=0, mesh=mesh)
    with pytest.raises(jacengine.ArgumentError, match="out= and mesh="):
        plan(x, out=out)
    with pytest.raises(TypeError, match="cannot be pickled"):
        torch.save(plan, "/dev/null")


def gathers_too_much(mesh: DeviceMesh) -> None:
    x = torch.randn(1000, 10, dtype=torch.float64)
    budget = 8 * 1000 * 100 * 3 // 2
    options: Any = {"batch_dim": 0, "mesh": mesh, "memory_budget": budget}
    options |= {"sparsity": None}
    with pytest.raises(jacengine.ShardError, match="gather=True takes"):
        jacengine.auto(torch.sin, x, gather=True, **options)


def empty(mesh: DeviceMesh) -> None:
    x = torch.randn(0, 3, dtype=torch.float64)
    found = jacengine.auto(torch.sin, x, batch_dim=0, mesh=mesh)
    assert found.shape == (0, 3, 3)
    assert found.full_tensor().shape == (0, 3, 3)


def compiled(mesh: DeviceMesh) -> None:
    model, x = mlp(), torch.randn(6, 5, dtype=torch.float64)
    plan = jacengine.plan(model, x, batch_dim=0, mesh=mesh, compiled=True)
    close(plan(x), vmap(jacrev(model))(x))
    later = jacengine.plan(model, x, batch_dim=0, mesh=mesh).wait(x)
    x = torch.randn(6, 5, dtype=torch.float64)
    close(later(x), vmap(jacrev(model))(x))


def interrupted(mesh: DeviceMesh) -> None:
    """Make a call on some ranks only; the other one is told when it comes."""
    x = torch.randn(3, 2, dtype=torch.float64)
    last = is_last(mesh)
    for mine in (not last, last):
        if mine:
            with pytest.raises(jacengine.ShardError, match="did not come") as raised:
                jacengine.auto(torch.sin, x, batch_dim=0, mesh=mesh, timeout_s=1.5)
            assert raised.value.rank == mesh.size() - 1
        torch.distributed.barrier()
    again = jacengine.auto(torch.sin, x, batch_dim=0, mesh=mesh, timeout_s=1.5)
    close(again, vmap(jacrev(torch.sin))(x))
