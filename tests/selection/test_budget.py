"""Budgets are read as written, kept to, and used."""

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError, MemoryBudgetError
from jacengine.api.strategies import known_strategies
from jacengine.interface import Capabilities, LinearMap, Passes, Point, Strategy
from jacengine.peak_memory import peak_memory
from jacengine.plans.plan import Plan
from jacengine.selection import budget as budget_module
from jacengine.selection import memory_bound
from jacengine.selection.budget import format_bytes, to_bytes
from jacengine.strategies.vmap_jvp import VmapJvp
from tests.contract.compare import assert_same
from tests.problems import OF_INPUTS, OF_PARAMETERS, mlp, plan_among, randn

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("written", "count"),
    [
        (1, 1),
        (10**12, 10**12),
        ("512MiB", 512 * 2**20),
        ("512 mib", 512 * 2**20),
        (" 2GiB ", 2 * 2**30),
        ("1.5kB", 1500),
        (".5 MB", 500_000),
        ("3TB", 3 * 10**12),
        ("7", 7),
        ("7B", 7),
    ],
)
def test_sizes(written: Any, count: int) -> None:
    assert to_bytes(written, CPU) == count


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("12 parsecs", "is not a size; write a number and one of .*'512MiB'"),
        ("", "is not a size"),
        ("nan", "is not a size"),
        ("-5MB", "is not a size"),
        ("1e3", "is not a size"),
        ("0", "must be more than 0 bytes"),
        ("0.4B", "must be more than 0 bytes"),
        (0, "must be more than 0 bytes"),
        (-1, "memory_budget=-1: must be more than 0 bytes"),
        (1.5, "memory_budget=1.5: a float is a fraction .* give bytes as an int"),
        (0.0, "a float is a fraction"),
        (-0.5, "a float is a fraction"),
        (float("nan"), "a float is a fraction"),
        (float("inf"), "a float is a fraction"),
        (True, "expected bytes .* got a bool"),
        ([1], "expected bytes .* got a list"),
    ],
)
def test_sizes_that_are_none(written: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        to_bytes(written, CPU)
    with pytest.raises(ArgumentError, match=said):
        jacengine.plan(torch.sin, randn(3), memory_budget=written, effort="none")


def test_shares_of_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "free_bytes", lambda _: 1000)
    assert to_bytes(0.25, CPU) == 250
    assert to_bytes(1.0, CPU) == 1000
    assert to_bytes(None, CPU) == 800


@pytest.mark.parametrize(
    ("count", "written"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (179_200_000, "179.2 MB")],
)
def test_sizes_as_people_write_them(count: int, written: str) -> None:
    assert format_bytes(count) == written


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have memory measured that would be negligible."""
    monkeypatch.setattr(memory_bound, "NEGLIGIBLE", 2**62)


def planned(x: Tensor, strategy: str, **options: Any) -> Plan:
    model = mlp(64, 128, 64).float()
    return jacengine.plan(
        model,
        x.float(),
        strategies=[strategy],
        effort="none",
        **options,
    )


def peak_of(plan: Plan, x: Tensor) -> int:
    with peak_memory(CPU) as peak:
        plan(x.float())
    return peak.bytes


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_prediction(strategy: str, batch_dim: int | None) -> None:
    x = randn(4, 64)
    plan = planned(x, strategy, batch_dim=batch_dim, sparsity=None)
    assert plan.chosen.predicted_bytes == pytest.approx(peak_of(plan, x), rel=0.15)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("layout", ["dict", "values"])
@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_prediction_of_sparse_results(strategy: str, layout: str) -> None:
    x = randn(4, 64)
    plan = planned(x, strategy, sparsity="detect", layout=layout)
    predicted = plan.chosen.predicted_bytes
    assert predicted is not None
    assert predicted / 1.7 <= peak_of(plan, x) <= 1.2 * predicted


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("strategy", OF_PARAMETERS)
def test_prediction_for_parameters(strategy: str, batch_dim: int | None) -> None:
    forward = known_strategies().get(strategy).capabilities.mode == "jvp"
    wrt = ["0.bias", "2.bias"] if forward else "params"
    x = randn(4, 64)
    plan = planned(x, strategy, wrt=wrt, batch_dim=batch_dim)
    assert plan.chosen.predicted_bytes == pytest.approx(peak_of(plan, x), rel=0.15)


@pytest.mark.parametrize("strategy", ["vmap_jvp", "double_vjp_repeat"])
def test_chunks_that_span_parameters(strategy: str) -> None:
    model, x = mlp(16, 32, 16), randn(4, 16)
    options: dict[str, Any] = {"strategies": [strategy], "effort": "none"}
    free = jacengine.plan(model, x, wrt="params", **options)
    budget = round(1.05 * (free.chosen.predicted_bytes or 0))
    plan = jacengine.plan(model, x, wrt="params", memory_budget=budget, **options)
    with peak_memory(CPU) as peak:
        plan(x)
    assert peak.bytes <= budget


def wide(x: Tensor) -> Tensor:
    """Map 32 numbers to 512 by a network of many activations."""
    h = torch.cat([x.sin(), x.cos(), x.tanh(), x.exp()], dim=-1)
    return torch.cat([h * k for k in range(1, 5)], dim=-1)


SHARES = (1.2, 8.0)
"""Budgets, as multiples of the result."""


@pytest.mark.parametrize("batch_dim", [None, 0])
@pytest.mark.parametrize("strategy", OF_INPUTS)
def test_chunks_fit_the_budget(strategy: str, batch_dim: int | None) -> None:
    x = randn(32) if batch_dim is None else randn(8, 32)
    wanted = jacengine.jacobian(
        wide, x, batch_dim=batch_dim, strategy="reverse_loop", chunk_size=1
    )
    result = wanted.numel() * wanted.itemsize
    chunks: list[int] = []
    for share in SHARES:
        budget = int(share * result)
        try:
            plan = jacengine.plan(
                wide,
                x,
                batch_dim=batch_dim,
                strategies=[strategy],
                memory_budget=budget,
                effort="none",
            )
        except MemoryBudgetError:
            assert not chunks, "a larger budget was refused"
            continue
        with peak_memory(CPU) as peak:
            J = plan(x)
        assert_same(J, wanted, 1e-12)
        assert peak.bytes <= budget, f"budget of {share} x the result"
        assert plan.chosen.predicted_bytes is not None
        assert plan.chosen.predicted_bytes <= budget
        assert plan.chosen.chunk_size is not None
        chunks.append(plan.chosen.chunk_size)
    assert chunks, "no budget was enough"
    assert chunks == sorted(chunks)


@pytest.mark.parametrize("strategy", ["repeat", "batched_grad", "vmap_vjp"])
def test_chunks_grow_with_the_budget(strategy: str) -> None:
    x = randn(8, 32)
    chunks = [
        jacengine.plan(
            wide,
            x,
            batch_dim=0,
            strategies=[strategy],
            memory_budget=budget,
            effort="none",
        ).chosen.chunk_size
        or 0
        for budget in ("1.5MB", "2.5MB", "10MB", "1GB")
    ]
    assert chunks == sorted(set(chunks))


def test_selection_itself_fits_the_budget() -> None:
    x = randn(8, 32)
    with peak_memory(CPU) as peak:
        jacengine.plan(wide, x, batch_dim=0, memory_budget="2MB", effort="none")
    assert peak.bytes <= 2_000_000


OVER = ["repeat_over_grad", "vmap_vjp_over_jvp", "vmap_jvp_over_jvp"]


@pytest.mark.parametrize(
    ("quantity", "strategy", "budget"),
    [
        *(("hessian", name, 2_764_800) for name in OVER),
        *(("laplacian", name, 2**20) for name in OVER),
        ("hessian", None, 2_764_800),
        ("laplacian", None, 2**20),
    ],
)
def test_selection_of_second_order_fits_the_budget(
    quantity: Any, strategy: str | None, budget: int
) -> None:
    model, x = mlp(30, 128, 1).float(), randn(512, 30).float()
    names = None if strategy is None else [strategy]
    with peak_memory(CPU) as peak, contextlib.suppress(MemoryBudgetError):
        jacengine.plan(
            lambda x: model(x)[:, 0],
            x,
            batch_dim=0,
            quantity=quantity,
            strategies=names,
            memory_budget=budget,
            effort="none" if strategy else "quick",
        )
    assert 0 < peak.bytes <= budget


@pytest.mark.parametrize("wrt", [0, "params"])
@pytest.mark.parametrize("budget", [12_000_000, 20_000_000, 100_000_000])
def test_workspaces_fit_the_budget(budget: int, wrt: Any) -> None:
    layers = (
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
    )
    pool = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10))
    net, x = nn.Sequential(*layers, *pool), randn(16, 3, 32, 32).float()
    plan = jacengine.plan(
        net, x, batch_dim=0, wrt=wrt, memory_budget=budget, effort="none"
    )
    with peak_memory(CPU, in_kernels=True) as peak:
        plan(x)
    assert peak.bytes <= budget


@pytest.mark.parametrize("ask", [jacengine.plan, jacengine.auto])
def test_result_larger_than_the_budget(ask: Any) -> None:
    x, budget = randn(8, 32), "900 kB"
    said = "The Jacobian itself has 1.0 MB, and the budget is 900.0 kB.*rows="
    with (
        peak_memory(CPU) as peak,
        pytest.raises(MemoryBudgetError, match=said) as error,
    ):
        ask(wide, x, batch_dim=0, memory_budget=budget)
    assert isinstance(error.value, MemoryError)
    assert peak.bytes < 900_000


def test_no_method_fits() -> None:
    x = randn(8, 32)
    said = r"No method fits into 1.0 MB(.|\n)*reverse_loop(.|\n)*over_budget"
    with pytest.raises(MemoryBudgetError, match=said):
        jacengine.plan(wide, x, batch_dim=0, memory_budget=1_048_577, effort="none")


def test_rows_make_it_fit() -> None:
    x = randn(8, 32)
    plan = jacengine.plan(
        wide, x, batch_dim=0, memory_budget="900kB", rows=slice(0, 8), effort="none"
    )
    assert plan(x).shape == (8, 8, 32)


class Growing(Strategy):
    """Takes memory with the square of the directions, which no line foretells."""

    name = "growing"
    capabilities = Capabilities(mode="jvp")

    def linearize(self, point: Point) -> LinearMap:
        push = VmapJvp().linearize(point)

        def linear_map(seeds: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            work = torch.ones(len(seeds[0]) ** 2, 200, dtype=torch.float64)
            products: tuple[Tensor, ...] = push(seeds)
            return tuple(product * work.mean() for product in products)

        return linear_map

    def passes(self, blocks: int) -> Passes:
        return Passes(blocks, 0)


@pytest.mark.parametrize("effort", ["none", "quick"])
def test_what_takes_more_than_predicted(effort: Any) -> None:
    x, budget = randn(8, 32), 3_200_000
    plan = plan_among(
        [Growing()], wide, x, memory_budget=budget, effort=effort, batch_dim=0
    )
    assert_same(plan(x), jacengine.jacobian(wide, x, batch_dim=0), 1e-12)
    with peak_memory(CPU) as peak:
        plan(x)
    assert peak.bytes <= budget
    assert plan.chosen.peak_bytes == pytest.approx(peak.bytes, rel=0.01)
    out = [r for r in plan.selection.candidates if r.outcome == "over_budget"]
    assert out, plan.explain()
    assert all("took" in record.reason for record in out)
