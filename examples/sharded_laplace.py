# ruff: noqa: T201
"""Predictive variances of a Laplace approximation, its Jacobian spread over processes.

Run it on one process, or on several:

    python examples/sharded_laplace.py
    python -m torch.distributed.run --nproc-per-node 2 examples/sharded_laplace.py
"""

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

import jacengine

PRIOR = 1.0  # precision of the weights, before any data


def network() -> nn.Module:
    """Return a small regression network; every rank makes the same one."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 1)).double()


def precision(model: nn.Module, x: Tensor, mesh: DeviceMesh) -> Tensor:
    """Return PRIOR I + J^T J: each rank adds the samples that it has."""
    op = jacengine.operator(model, x, wrt="params", batch_dim=0, mesh=mesh)
    return op.normal() + PRIOR * torch.eye(op.shape[1], dtype=x.dtype)


def variances(model: nn.Module, x: Tensor, factor: Tensor, mesh: DeviceMesh) -> Tensor:
    """Return J inv(L L^T) J^T on the diagonal, for the points of this rank."""
    J = jacengine.auto(
        model,
        x,
        wrt="params",
        batch_dim=0,
        layout="flat",
        mesh=mesh,
        shard="samples",
    )
    own = J.to_local().flatten(0, 1)
    half = torch.linalg.solve_triangular(factor, own.T, upper=False)
    return half.square().sum(0)


def main() -> None:
    """Print the variances at some points, on rank 0."""
    if "RANK" not in os.environ:  # a single process, without torchrun
        store = dist.HashStore()
        dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (int(os.environ.get("WORLD_SIZE", "1")),))
    model = network()
    x, points = torch.randn(200, 3).double(), torch.randn(5, 3).double()
    factor = torch.linalg.cholesky(precision(model, x, mesh))
    own = variances(model, points, factor, mesh)
    parts: list[Tensor] = [torch.empty(0)] * mesh.size()
    dist.all_gather_object(parts, own)
    if mesh.get_rank() == 0:
        for point, variance in zip(points, torch.cat(parts), strict=True):
            where = ", ".join(f"{value:5.2f}" for value in point)
            print(f"variance at ({where}): {variance:.6f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
