"""Graphs lowered for Inductor: small products of matrices and concatenations."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch._inductor import config
from torch._inductor.graph import GraphLowering
from torch.fx.experimental.proxy_tensor import make_fx

from jacengine import _torch_lowering
from jacengine._torch_lowering import Program, lowered_graph

PRODUCTS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "mm": (torch.mm, [(4, 3), (3, 5)]),
    "bmm": (torch.bmm, [(6, 4, 3), (6, 3, 2)]),
    "addmm": (torch.addmm, [(5,), (4, 3), (3, 5)]),
    "addmm of a matrix": (torch.addmm, [(4, 5), (4, 3), (3, 5)]),
    "addmm scaled": (
        lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2.0),
        [(5,), (4, 3), (3, 5)],
    ),
    "no terms": (torch.mm, [(4, 0), (0, 5)]),
    "no rows": (torch.mm, [(0, 3), (3, 5)]),
    "many terms": (torch.mm, [(4, 64), (64, 5)]),
    "many rows": (torch.mm, [(40_000, 3), (3, 4)]),
    "transposed": (lambda a, b: a @ b.mT, [(6, 4), (7, 4)]),
    "stored": (lambda a, b: a.exp() @ b.mT, [(300, 8), (8, 8)]),
    "many products": (torch.mm, [(64, 32), (32, 64)]),
}


def lowered(fn: Callable[..., Tensor], values: list[Tensor]) -> partial[Program]:
    graph = make_fx(lambda *args: (fn(*args),), tracing_mode="fake")(*values)
    return lowered_graph(graph, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_matrices_are_right_compiled(name: str, dtype: torch.dtype) -> None:
    fn, shapes = PRODUCTS[name]
    torch.manual_seed(0)
    values = [torch.randn(shape, dtype=dtype) for shape in shapes]
    program = lowered(fn, values)()
    (found,) = program(list(values))
    torch.testing.assert_close(found, fn(*values))


@pytest.mark.parametrize(
    ("name", "unrolled"),
    [
        *(("mm", True), ("bmm", True), ("addmm", True), ("many rows", True)),
        *(("many terms", False), ("many products", False), ("addmm scaled", False)),
    ],
)
def test_small_products_are_unrolled(name: str, unrolled: bool) -> None:
    fn, shapes = PRODUCTS[name]
    aten = torch.ops.aten
    products = {aten.mm.default, aten.bmm.default, aten.addmm.default}
    graph = lowered(fn, [torch.ones(shape) for shape in shapes]).args[0]
    found = {node.target for node in graph.graph.nodes}
    assert bool(found & products) is not unrolled


@pytest.mark.parametrize("count", [2, 9, 40])
def test_concatenations_are_right_compiled(count: int) -> None:
    def stacked(x: Tensor) -> Tensor:
        return torch.stack([torch.sin((k + 1) * x) for k in range(count)], 1)

    x = torch.linspace(0, 1, 12).reshape(3, 4)
    (found,) = lowered(stacked, [x])()([x])
    torch.testing.assert_close(found, stacked(x))


@pytest.mark.parametrize(("rows", "pointwise"), [(4, True), (2**16, False)])
def test_small_concatenations_are_computed_entry_by_entry(
    rows: int, pointwise: bool
) -> None:
    values = [torch.ones(rows), torch.ones(rows)]
    graph = lowered(lambda *tensors: torch.cat(tensors), values).args[0]
    assert _torch_lowering._settings(graph)["force_pointwise_cat"] is pointwise


def _code(
    monkeypatch: pytest.MonkeyPatch, fn: Callable[..., Tensor], *values: Tensor
) -> str:
    """Return the code that two threads would run, when it is right."""
    codes = list[str]()
    monkeypatch.setattr(GraphLowering, "save_output_code", codes.append)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with config.patch({"force_disable_caches": True}):
            (found,) = lowered(fn, list(values))()(list(values))
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(found, fn(*values))
    (code,) = codes
    return code


def _chain(x: Tensor) -> Tensor:
    for _ in range(20):
        x = x.sin()
    return x


def test_loops_are_parallel_by_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.linspace(0, 1, 20_000)
    assert "omp parallel" in _code(monkeypatch, _chain, x)
    assert "omp parallel" not in _code(monkeypatch, torch.square, x)
    with config.patch({"cpp.min_chunk_size": 1000}):  # of the user
        assert "omp parallel" in _code(monkeypatch, torch.square, x)


def test_sums_of_few_terms_start_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inductor would, where the rows of a product are shorter than its vectors."""
    code = _code(monkeypatch, torch.mm, torch.randn(40_000, 10), torch.randn(10, 4))
    before, _, inside = code.partition("#pragma omp parallel")
    assert "for(int64_t" in inside
    assert "for(int64_t" not in before.rpartition("extern")[2]


@pytest.mark.parametrize("axes", [(), (0, 1)])
def test_long_expressions_are_stored(axes: tuple[int, ...]) -> None:
    """Else 40 steps are written out as 2^40 operators."""

    def steps(x: Tensor) -> Tensor:
        for _ in range(40):
            x = (x.transpose(*axes) if axes else x).sin() / 2 + x / 2
        return x

    x = torch.linspace(0, 1, 9, dtype=torch.float64).reshape(3, 3)
    (found,) = lowered(steps, [x])()([x])
    torch.testing.assert_close(found, steps(x))
