"""Operators against the matrix that plain reverse mode gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.linear_operators import factored, factors
from jacengine.peak_memory import peak_memory
from tests.problems import mlp, randn


class Tokens(nn.Module):
    """Linear layers that see several positions of every sample."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.b(torch.tanh(self.a(x))).sum(-2)
        return y


class Twice(nn.Module):
    """A layer called twice, and a scale that belongs to none."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale * self.a(torch.tanh(self.a(x)))
        return y


def convnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, groups=2),
        nn.Tanh(),
        nn.GroupNorm(2, 4),
        nn.Conv2d(4, 3, 2),
        nn.Flatten(),
        nn.Linear(3 * 3 * 3, 2),
    )


def lstm() -> nn.Module:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            states: Tensor = self.cell(x)[0]
            return states[..., -1, :]

    return Last()


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: mlp(3, 4, 2), (5, 3)),
    "positions": (Tokens, (4, 6, 3)),
    "twice": (Twice, (4, 3)),
    "convnet": (convnet, (3, 2, 4, 4)),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(7, 3), nn.Flatten(), nn.Linear(12, 2)),
        (5, 4),
    ),
    "embedding, padded": (
        lambda: nn.Sequential(
            nn.Embedding(7, 3, padding_idx=2), nn.Flatten(), nn.Linear(12, 2)
        ),
        (5, 4),
    ),
    "lstm": (lstm, (3, 4, 3)),
}


def _case(name: str) -> tuple[nn.Module, Tensor]:
    make, shape = MODELS[name]
    torch.manual_seed(0)
    model = make().double()
    if name.startswith("embedding"):
        return model, torch.randint(0, 7, shape)
    return model, randn(*shape)


def _matrix(model: Any, *args: Any, **options: Any) -> Tensor:
    J: Tensor = jacengine.jacobian(
        model, *args, **options, strategy="reverse_loop", layout="flat"
    )
    return J.reshape(-1, J.shape[-1])


def check(op: jacengine.JacobianOperator, J: Tensor) -> None:
    """Check all that an operator gives."""
    assert op.shape == tuple(J.shape)
    v, u = randn(J.shape[1], 3), randn(J.shape[0], 3)
    near: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}
    assert torch.allclose(op @ v, J @ v, **near)
    assert torch.allclose(op @ v[:, 0], J @ v[:, 0], **near)
    assert torch.allclose(op.T @ u, J.T @ u, **near)
    assert torch.allclose(op.T @ u[:, 1], J.T @ u[:, 1], **near)
    assert torch.allclose(u.T @ op, u.T @ J, **near)
    assert torch.allclose(u[:, 1] @ op, u[:, 1] @ J, **near)
    assert torch.allclose(v.T @ op.T, v.T @ J.T, **near)
    assert torch.allclose(v[:, 0] @ op.T, v[:, 0] @ J.T, **near)
    for gram in (op.gram(), op.kernel(), op.kernel(op), op @ op.T):
        assert torch.allclose(gram, J @ J.T, **near)
    for normal in (op.normal(), op.T @ op):
        assert torch.allclose(normal, J.T @ J, **near)
    assert torch.allclose(op.normal_diagonal(), J.square().sum(0), **near)
    assert torch.allclose(op.row_norms(), J.norm(dim=1), **near)
    assert torch.allclose(op.dense(), J, **near)
    out = torch.full_like(J, float("nan"))
    assert op.dense(out=out) is out
    assert torch.allclose(out, J, **near)
    scipy = op.linear_operator()
    assert torch.allclose(torch.from_numpy(scipy @ v.numpy()), J @ v, **near)
    assert torch.allclose(
        torch.from_numpy(scipy.T @ u[:, 0].numpy()), J.T @ u[:, 0], **near
    )


@pytest.mark.parametrize("batch_dim", [0, None])
@pytest.mark.parametrize("name", MODELS)
def test_by_layers(name: str, batch_dim: int | None) -> None:
    model, x = _case(name)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": batch_dim}
    op = jacengine.operator(model, x, **options)
    assert op.method == "by layers"
    check(op, _matrix(model, x, **options))


def _others(name: str, count: int) -> Tensor:
    """Return other samples, of longer sequences where the model takes them."""
    make, (_, *shape) = MODELS[name]
    if name.startswith("embedding"):
        generator = torch.Generator().manual_seed(3)
        return torch.randint(0, 7, (count, *shape), generator=generator)
    if make in {Tokens, lstm}:
        shape[0] += 2
    return randn(count, *shape, seed=3)


@pytest.mark.parametrize("exclude", [[], ["quasi_linear"]], ids=["layers", "products"])
@pytest.mark.parametrize("name", MODELS)
def test_kernel_between_other_samples(name: str, exclude: list[str]) -> None:
    model, x = _case(name)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    op = jacengine.operator(model, x, **options)
    J = _matrix(model, x, **options)
    for count in (2, 7):
        x2 = _others(name, count)
        other = jacengine.operator(model, x2, **options, exclude=exclude)
        wanted = J @ _matrix(model, x2, **options).T
        for found in (op @ other.T, op.kernel(other), other.kernel(op).T):
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)


def test_kernel_of_inputs() -> None:
    model, x, x2 = mlp(3, 4, 2), randn(5, 3), randn(5, 3, seed=1)
    op = jacengine.operator(model, x, batch_dim=0)
    J, J2 = (
        torch.block_diag(*torch.func.vmap(torch.func.jacrev(model))(z)) for z in (x, x2)
    )
    torch.testing.assert_close(op @ op.at(x2).T, J @ J2.T)
    with pytest.raises(jacengine.ArgumentError, match=r"shape \(5, 3\).* \(4, 3\)"):
        op.kernel(op.at(x2[:4]))


def test_the_kernel_takes_less_memory_than_a_jacobian() -> None:
    model, x = mlp(64, 128, 128, 10).float(), randn(32, 64).float()
    op = jacengine.operator(model, x, wrt="params", batch_dim=0)
    other = jacengine.operator(model, x[:8].cos(), wrt="params", batch_dim=0)
    with peak_memory(torch.device("cpu")) as peak:
        op.kernel(other)
    assert peak.bytes < other.shape[0] * other.shape[1] * 4 / 10


def test_of_a_large_table_only_the_rows_in_use_take_memory() -> None:
    class Bag(nn.Module):
        def __init__(self, rows: int) -> None:
            super().__init__()
            self.table = nn.Embedding(rows, 8)
            self.last = nn.Linear(8, 3)

        def forward(self, words: Tensor) -> Tensor:
            y: Tensor = self.last(torch.tanh(self.table(words).sum(1)))
            return y

    torch.manual_seed(0)
    model, words = Bag(200_000).double(), torch.randint(0, 200_000, (6, 5))
    words[:, 1] = words[:, 0]
    words[3] = words[2]
    table = model.table.weight.numel() * 8
    op = jacengine.operator(model, words, wrt="params", batch_dim=0)
    with peak_memory(words.device) as peak:
        gram, norms = op.gram(), op.row_norms()
    assert peak.bytes < table / 10  # and J has 18 times the table
    used = words.unique()
    small = Bag(len(used)).double()
    with torch.no_grad():
        small.last.load_state_dict(model.last.state_dict())
        small.table.weight[:] = model.table.weight[used]
    J = _matrix(small, torch.searchsorted(used, words), wrt="params", batch_dim=0)
    torch.testing.assert_close(gram, J @ J.T)
    torch.testing.assert_close(norms, J.norm(dim=1))


@pytest.mark.parametrize("name", MODELS)
def test_matrix_free(name: str) -> None:
    model, x = _case(name)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    op = jacengine.operator(model, x, **options, exclude=["quasi_linear"])
    assert op.method.startswith("JVPs by")
    check(op, _matrix(model, x, **options))


def test_inputs_of_a_function() -> None:
    def fn(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x * y, (x**2).sum(-1) + y

    x, y = randn(3), randn(1)
    op = jacengine.operator(fn, x, y, wrt=(0, 1))
    parts = jacengine.jacobian(fn, x, y, wrt=(0, 1), strategy="reverse_loop")
    J = torch.cat([torch.cat(line, dim=1) for line in parts])
    check(op, J)


def test_inputs_of_samples_are_blocks_on_the_diagonal() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    op = jacengine.operator(model, x, batch_dim=0)
    J = jacengine.jacobian(model, x, batch_dim=0, strategy="reverse_loop")
    check(op, torch.block_diag(*J))


def test_coupled_samples() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    x = randn(5, 3)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    op = jacengine.operator(model, x, **options)
    check(op, _matrix(model, x, **options))


def test_products_are_differentiable() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3).requires_grad_()
    v = randn(sum(p.numel() for p in model.parameters()))
    op = jacengine.operator(model, x, wrt="params", batch_dim=0, create_graph=True)
    (got,) = torch.autograd.grad((op @ v).square().sum(), x, retain_graph=True)
    J = jacengine.jacobian(
        model, x, wrt="params", batch_dim=0, create_graph=True, layout="flat"
    )
    (wanted,) = torch.autograd.grad((J.flatten(0, 1) @ v).square().sum(), x)
    assert torch.allclose(got, wanted)
    (got,) = torch.autograd.grad(op.gram().square().sum(), x)
    flat = jacengine.jacobian(
        model, x, wrt="params", batch_dim=0, create_graph=True, layout="flat"
    ).flatten(0, 1)
    (wanted,) = torch.autograd.grad((flat @ flat.T).square().sum(), x)
    assert torch.allclose(got, wanted)


def test_the_gram_matrix_takes_less_memory_than_the_jacobian() -> None:
    model, x = mlp(64, 128, 128, 10).float(), randn(32, 64).float()
    op = jacengine.operator(model, x, wrt="params", batch_dim=0)
    with peak_memory(torch.device("cpu")) as peak:
        op.gram()
    assert peak.bytes < op.shape[0] * op.shape[1] * 4 / 10


@pytest.mark.parametrize("exclude", [[], ["quasi_linear"]])
def test_at_other_arguments(exclude: list[str]) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0}
    op = jacengine.operator(model, x, **options, exclude=exclude)
    other = randn(5, 3, seed=7)
    check(op.at(other), _matrix(model, other, **options))
    check(op, _matrix(model, x, **options))
    with pytest.raises(jacengine.PlanMismatchError):
        op.at(randn(6, 2))


def test_nonsense_is_refused() -> None:
    model, x = mlp(3, 2), randn(5, 3)
    op = jacengine.operator(model, x, wrt="params", batch_dim=0)
    with pytest.raises(jacengine.ArgumentError, match=r"J @ v got .* expected \(8,\)"):
        _ = op @ randn(7)
    with pytest.raises(jacengine.ArgumentError, match=r"J.T @ u got"):
        _ = op.T @ randn(8, 1)
    with pytest.raises(jacengine.ArgumentError, match="out= has shape"):
        op.dense(out=torch.zeros(3))
    with pytest.raises(jacengine.NoStrategyError, match="no candidate"):
        jacengine.operator(model, x, batch_dim=0, strategies=["reverse_loop"])
    assert "10 x 8" in repr(op)


def test_many_outputs_are_multiplied_by_factors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = mlp(8, 16, 12), randn(6, 8)
    J = _matrix(model, x, wrt="params", batch_dim=0)
    op = jacengine.operator(model, x, wrt="params", batch_dim=0)
    pulls = list[int]()
    pull = factors.Outer.pull

    def counted(self: factors.Outer, cotangent: Tensor) -> Tensor:
        pulls.append(cotangent.shape[-1])
        return pull(self, cotangent)

    monkeypatch.setattr(factors.Outer, "pull", counted)
    torch.testing.assert_close(op.normal(), J.T @ J)
    assert pulls  # of the weights
    monkeypatch.setattr(factored, "PART", 3 * J.shape[1] * 12)  # three samples
    torch.testing.assert_close(op.normal(), J.T @ J)
    pulls.clear()
    monkeypatch.setattr(factored, "PART", 16)  # a sample, and some columns, at a time
    torch.testing.assert_close(op.normal(), J.T @ J)
    assert max(pulls) < J.shape[1]
    assert repr(op.T) == f"{op!r}.T"


def test_what_is_no_tensor_is_refused_by_name() -> None:
    model, x = mlp(3, 2), randn(5, 3)
    op: Any = jacengine.operator(model, x, wrt="params", batch_dim=0)
    products: list[Callable[[Any], object]] = [
        lambda v: op @ v,
        lambda v: op.T @ v,
        lambda v: v @ op,
        lambda v: v @ op.T,
        op.pull,
        lambda v: op.dense(out=v),
    ]
    for product in products:
        with pytest.raises(TypeError, match=r"got a NumPy array.*torch\.from_numpy"):
            product(np.zeros(8))
        with pytest.raises(TypeError, match=r"got a list.*torch\.tensor"):
            product([1.0] * 8)
    for value in (2, None, op.dense):
        with pytest.raises(jacengine.InputTypeError, match="expects a tensor"):
            _ = op @ value
    with pytest.raises(jacengine.InputTypeError, match="expects an operator"):
        op.kernel(op.dense())
    with pytest.raises(jacengine.ArgumentError, match=r"v @ J.T .* \(m, 8\)"):
        _ = randn(2, 7) @ op.T


def test_other_products_of_operators_are_refused() -> None:
    model, x = mlp(3, 3), randn(5, 3)
    op: Any = jacengine.operator(model, x, wrt="params", batch_dim=0)
    square: Any = jacengine.operator(model, x, batch_dim=0)
    products: list[Callable[[], object]] = [
        lambda: square @ square,
        lambda: op.T @ square,
        lambda: op.T @ op.T,
        lambda: op.T @ op.at(x),
    ]
    for product in products:
        with pytest.raises(jacengine.ArgumentError, match=r"op @ other\.T"):
            product()
    with pytest.raises(jacengine.ArgumentError, match=r"0\.weight of .* an input of"):
        op.kernel(square)
    with pytest.raises(jacengine.ArgumentError, match=r"0\.bias of .* no more"):
        op.kernel(jacengine.operator(model, x, wrt=["0.weight"], batch_dim=0))
