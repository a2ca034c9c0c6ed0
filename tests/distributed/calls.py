"""Calls of `auto`, `plan` and `hessian` over a mesh, run by every rank of a world.

What is expected comes from `torch.func` on one process.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.func import functional_call, jacrev, vmap

import jacengine

BATCH = 4
"""Samples: of three ranks, one then has none."""


def mlp() -> nn.Module:
    torch.manual_seed(1)
    layers = nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)
    return nn.Sequential(*layers).double()


def by_parameters(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the Jacobian of each sample by parameters."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def one(parameters: Any, x: Tensor) -> Tensor:
        return functional_call(model, parameters, (x.unsqueeze(0),)).squeeze(0)

    return vmap(jacrev(one), in_dims=(None, 0))(parameters, x)


def close(found: Any, expected: Any) -> None:
    """Compare trees of tensors over a mesh, or gathered, with plain tensors."""
    leaves, structure = torch.utils._pytree.tree_flatten(found)
    wanted, known = torch.utils._pytree.tree_flatten(expected)
    assert structure == known, (structure, known)
    for leaf, want in zip(leaves, wanted, strict=True):
        assert tuple(leaf.shape) == tuple(want.shape), (leaf.shape, want.shape)
        plain = leaf.full_tensor() if isinstance(leaf, DTensor) else leaf
        torch.testing.assert_close(plain, want)


def samples(mesh: DeviceMesh, wrt: str, layout: str, gather: bool, api: str) -> None:
    model, x = mlp(), torch.randn(BATCH, 5, dtype=torch.float64)
    options: Any = {"wrt": wrt, "batch_dim": 0, "layout": layout}
    over: Any = {"mesh": mesh, "shard": "samples", "gather": gather}
    if api == "plan":
        plan = jacengine.plan(model, x, **options, **over)
        assert "Split by samples" in plan.explain()
        x = torch.randn(BATCH, 5, dtype=torch.float64)
        found = plan(x)
    else:
        jacengine.auto(model, x, **options, **over)
        found = jacengine.auto(model, x, **options, **over)
    expected: Any
    if wrt == "params":
        expected = by_parameters(model, x)
        if layout == "flat":
            expected = torch.cat([J.flatten(2) for J in expected.values()], dim=2)
    else:
        expected = vmap(jacrev(model))(x)
    for leaf in torch.utils._pytree.tree_leaves(found):
        assert isinstance(leaf, DTensor) != gather
        if not gather:
            each = -(-BATCH // mesh.size())
            first = min(mesh.get_rank() * each, BATCH)
            held = min(first + each, BATCH) - first
            assert leaf.to_local().shape[0] == held
    close(found, expected)
