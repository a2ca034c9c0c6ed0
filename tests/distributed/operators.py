"""Operators over a mesh, compared with a dense Jacobian; run by every rank."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.func import jacrev, vmap

import jacengine
from tests.distributed.calls import BATCH, by_parameters, close, mlp
from tests.distributed.faults import is_last


def parameters(mesh: DeviceMesh, gather: bool, layers: bool) -> None:
    model, x = mlp(), torch.randn(BATCH, 5, dtype=torch.float64)
    exclude = () if layers else ("quasi_linear",)
    op = jacengine.operator(
        model,
        x,
        wrt="params",
        batch_dim=0,
        exclude=exclude,
        mesh=mesh,
        gather=gather,
        timed=False,
    )
    blocks = by_parameters(model, x).values()
    J = torch.cat([block.flatten(0, 1).flatten(1) for block in blocks], dim=1)
    M, N = J.shape
    assert op.shape == (M, N)
    assert op.T.shape == (N, M)
    assert (op.local is None) == (mesh.size() == 3 and is_last(mesh))

    def rows(found: Tensor, expected: Tensor) -> None:
        assert isinstance(found, DTensor) != gather
        close(found, expected if gather else expected.unflatten(0, (BATCH, -1)))

    v, u = torch.randn(N, 2).double(), torch.randn(M, 2).double()
    rows(op @ v, J @ v)
    rows(op @ v[:, 0], J @ v[:, 0])
    close(op.T @ u, J.T @ u)
    close(op.pull(u[:, 0]), J.T @ u[:, 0])
    close(op.pull(op @ v), J.T @ J @ v)
    rows(op.row_norms(), J.norm(dim=1))
    rows(op.gram(), J @ J.T)
    close(op.normal(), J.T @ J)
    close(op.normal_diagonal(), J.square().sum(0))
    with pytest.raises(jacengine.ShardError, match=r"expected .57,. or .57, m."):
        _ = op @ v[1:]
    with pytest.raises(jacengine.ShardError, match=r"expected .12,. or .12, m."):
        op.pull(u[1:])
    assert "ShardedOperator(12 x" in repr(op)


def inputs(mesh: DeviceMesh, gather: bool) -> None:
    model, x = mlp(), torch.randn(BATCH, 5, dtype=torch.float64)
    op = jacengine.operator(
        model, x, batch_dim=0, mesh=mesh, gather=gather, timed=False
    )
    J = torch.block_diag(*vmap(jacrev(model))(x))
    M, N = J.shape
    assert op.shape == (M, N)

    def split(found: Tensor, expected: Tensor) -> None:
        close(found, expected if gather else expected.unflatten(0, (BATCH, -1)))

    v, u = torch.randn(N, 2).double(), torch.randn(M).double()
    split(op @ v, J @ v)
    split(op.T @ u, J.T @ u)
    if not gather:
        split(op.pull(op @ v), J.T @ J @ v)
    split(op.row_norms(), J.norm(dim=1))
    split(op.normal_diagonal(), J.square().sum(0))
    for refused in (op.gram, op.normal):
        with pytest.raises(jacengine.ArgumentError, match="block-diagonal"):
            refused()


def faults(mesh: DeviceMesh) -> None:
    x = torch.randn(BATCH, 5, dtype=torch.float64)
    first = mesh.get_rank() == 0

    def fn(x: Tensor) -> Tensor:
        if first:
            raise ValueError("no such thing")
        return x.sin()

    with pytest.raises(jacengine.ShardError, match="no such thing") as raised:
        jacengine.operator(fn, x, batch_dim=0, mesh=mesh)
    assert raised.value.rank == 0
    model, options = mlp(), {"batch_dim": 0, "mesh": mesh}
    op: Any = jacengine.operator(model, x, wrt="params", **options)  # type: ignore[call-overload]
    if first:
        op.local.parts = _failing
    with pytest.raises(jacengine.ShardError, match="cannot go on") as raised:
        op.gram()
    assert raised.value.rank == 0
    other: Any = {"mesh": mesh}
    with pytest.raises(jacengine.ShardError, match="batch_dim"):
        jacengine.operator(model, x, wrt="params", **other)
    dropout = torch.nn.Sequential(model, torch.nn.Dropout()).train()
    with pytest.raises(jacengine.ShardError, match="draws random numbers for the"):
        jacengine.operator(
            dropout, x, wrt="params", batch_dim=0, randomness="same", mesh=mesh
        )


def _failing() -> Any:
    yield torch.ones(1, 57, dtype=torch.float64)
    raise ValueError("cannot go on")
