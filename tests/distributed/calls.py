"""Calls of `auto`, `plan` and `hessian` over a mesh, run by every rank of a world.

What is expected comes from `torch.func` on one process.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.func import functional_call, hessian, jacrev, vmap

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

    def one(parameters: Any, x: Tensor) -> Any:
        return functional_call(model, parameters, (x.unsqueeze(0),)).squeeze(0)

    found: dict[str, Tensor] = vmap(jacrev(one), in_dims=(None, 0))(parameters, x)
    return found


def close(found: Any, expected: Any) -> None:
    """Compare trees of tensors over a mesh, or gathered, with plain tensors."""
    leaves, structure = pytree.tree_flatten(found)
    wanted, known = pytree.tree_flatten(expected)
    assert structure == known, (structure, known)
    for leaf, want in zip(leaves, wanted, strict=True):
        assert tuple(leaf.shape) == tuple(want.shape), (leaf.shape, want.shape)
        plain = leaf.full_tensor() if isinstance(leaf, DTensor) else leaf
        single = min(plain.dtype.itemsize, want.dtype.itemsize) == 4
        error = 1e-5 if single else 1e-9
        torch.testing.assert_close(
            plain.double(), want.double(), rtol=error, atol=error
        )


def samples(mesh: DeviceMesh, wrt: str, layout: str, api: str, gather: bool) -> None:
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
    for leaf in pytree.tree_leaves(found):
        assert isinstance(leaf, DTensor) != gather
        if not gather:
            each = -(-BATCH // mesh.size())
            first = min(mesh.get_rank() * each, BATCH)
            held = min(first + each, BATCH) - first
            assert leaf.to_local().shape[0] == held
    close(found, expected)


def entries(mesh: DeviceMesh, case: str, shard: str, gather: bool) -> None:
    """Split along rows or columns; what is computed is named by the case."""
    fn, args, options, expected = CASES[case]()
    over: Any = {"mesh": mesh, "shard": shard, "gather": gather}
    quantity = options.pop("quantity", "jacobian")
    call = jacengine.hessian if quantity == "hessian" else jacengine.auto
    found = call(fn, *args, **options, **over)
    for leaf in pytree.tree_leaves(found):
        assert isinstance(leaf, DTensor) != gather
    if not gather and mesh.size() > 1:
        local = sum(leaf.to_local().numel() for leaf in found_leaves(found))
        assert local < sum(leaf.numel() for leaf in found_leaves(found))
    close(found, expected)
    if case == "mixed dtypes":
        assert [leaf.dtype.itemsize for leaf in found_leaves(found)] == [4, 8]


def found_leaves(found: Any) -> list[DTensor]:
    leaves: list[DTensor] = pytree.tree_leaves(found)
    return leaves


def _plain() -> Any:
    x = torch.randn(2, 7, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return (x.sin() @ x.T @ x).flatten()[:11]

    return fn, (x,), {}, jacrev(fn)(x)


def _parameters() -> Any:
    model, x = mlp(), torch.randn(4, 5, dtype=torch.float64)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    expected = jacrev(lambda p: functional_call(model, p, (x,)))(parameters)
    return model, (x,), {"wrt": "params"}, expected


def _parameters_of_samples() -> Any:
    model, x = mlp(), torch.randn(4, 5, dtype=torch.float64)
    options = {"wrt": "params", "batch_dim": 0}
    return model, (x,), options, by_parameters(model, x)


def _flat_parameters() -> Any:
    model, args, options, expected = _parameters_of_samples()
    flat = torch.cat([J.flatten(2) for J in expected.values()], dim=2)
    return model, args, {**options, "layout": "flat"}, flat


def _nested() -> Any:
    x = {"a": torch.randn(3, dtype=torch.float64), "b": torch.tensor(0.7).double()}

    def fn(x: Any) -> Any:
        y = x["a"] * x["b"]
        return {"sum": y.sum(), "outer": torch.outer(y, y.exp())}, [y]

    return fn, (x,), {}, jacrev(fn)(x)


def _chosen() -> Any:
    x = torch.randn(6, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return torch.outer(x.sin(), x)

    rows, columns = torch.tensor([3, 1, 30, 7, 8]), slice(1, 6)
    J = jacrev(fn)(x).flatten(0, 1)[rows][:, columns]
    return fn, (x,), {"rows": rows, "columns": columns}, J


def _mixed_dtypes() -> Any:
    x = torch.randn(5)

    def fn(x: Tensor) -> Any:
        return x.sin(), x.double().exp()

    first, second = jacrev(fn)(x)
    assert first.dtype == second.dtype == torch.float32
    return fn, (x,), {}, (first, second)


def _hessian() -> Any:
    x = torch.randn(5, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return torch.stack([x.prod(), x.sin().sum() ** 2])

    return fn, (x,), {"quantity": "hessian"}, hessian(fn)(x)


def _hessian_of_inputs() -> Any:
    x, y = torch.randn(2, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64)

    def fn(x: Tensor, y: Tensor) -> Tensor:
        return (x.sum(1).prod() * y.sin().sum()) ** 2 + x.pow(3).sum()

    options = {"quantity": "hessian", "wrt": (0, 1)}
    return fn, (x, y), options, hessian(fn, argnums=(0, 1))(x, y)


def _flat_hessian() -> Any:
    fn, (x, y), options, expected = _hessian_of_inputs()
    sizes = x.numel(), y.numel()
    rows = [
        torch.cat([expected[i][j].reshape(sizes[i], sizes[j]) for j in (0, 1)], 1)
        for i in (0, 1)
    ]
    return fn, (x, y), {**options, "layout": "flat"}, torch.cat(rows)


CASES = {
    "plain": _plain,
    "parameters": _parameters,
    "parameters of samples": _parameters_of_samples,
    "flat parameters": _flat_parameters,
    "nested": _nested,
    "chosen": _chosen,
    "mixed dtypes": _mixed_dtypes,
    "hessian": _hessian,
    "hessian of inputs": _hessian_of_inputs,
    "flat hessian": _flat_hessian,
}


def hessian_samples(mesh: DeviceMesh) -> None:
    x = torch.randn(5, 3, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return x.prod(-1).sin()

    found = jacengine.hessian(fn, x, batch_dim=0, mesh=mesh)
    close(found, vmap(hessian(fn))(x))
    plan = jacengine.plan(fn, x, batch_dim=0, quantity="laplacian", mesh=mesh)
    expected = vmap(hessian(fn))(x).diagonal(dim1=1, dim2=2).sum(-1)
    close(plan(x), expected)


def another_batch(mesh: DeviceMesh) -> None:
    model, x = mlp(), torch.randn(7, 5, dtype=torch.float64)
    plan = jacengine.plan(model, x, batch_dim=0, mesh=mesh)
    for count in (7, 5, 2, 7):
        x = torch.randn(count, 5, dtype=torch.float64)
        close(plan(x), vmap(jacrev(model))(x))


def side_inputs(mesh: DeviceMesh) -> None:
    x = torch.randn(3, 5, dtype=torch.float64)
    t = torch.randn(5, dtype=torch.float64)

    def fn(x: Tensor, *, t: Tensor) -> Tensor:
        return (x.T * t.unsqueeze(1)).sin()

    found = jacengine.auto(
        fn, x, kwargs={"t": t}, batch_dim=(1,), mesh=mesh, shard="samples"
    )
    close(found, vmap(jacrev(lambda x, t: (x * t).sin()))(x.T, t))


def chosen_axis(mesh: DeviceMesh) -> None:
    """One sample of many outputs is split by rows, many samples by samples."""
    x = torch.randn(1, 4, dtype=torch.float64)
    weight = torch.randn(4, 50, dtype=torch.float64)

    def fn(x: Tensor) -> Tensor:
        return (x @ weight).sin()

    if mesh.size() > 1:
        wide = jacengine.plan(fn, x, batch_dim=0, mesh=mesh)
        assert "by samples" not in wide.explain()
    many = jacengine.plan(fn, x.expand(9, 4), batch_dim=0, mesh=mesh)
    assert "by samples" in many.explain()
    tall = jacengine.plan(fn, x[0], mesh=mesh)
    assert "by samples" not in tall.explain()
    close(tall(x[0]), jacrev(fn)(x[0]))
