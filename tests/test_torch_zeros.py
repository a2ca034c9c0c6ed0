"""Tangents that are zero by construction, dropped from lowered graphs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from jacengine._torch_lowering import lowered_graph

aten = torch.ops.aten
PRODUCTS = {
    *(aten.mm.default, aten.bmm.default, aten.addmm.default),
    aten.convolution.default,
}


def directional(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def derivative(x: Tensor, tangents: Tensor) -> Tensor:
        found: Tensor = vmap(lambda t: jvp(fn, (x,), (t,))[1])(tangents)
        return found

    return derivative


def lowered(fn: Callable[..., Tensor], *values: Tensor) -> tuple[GraphModule, Tensor]:
    """Return the lowered graph, and what it computes when it is compiled."""
    graph = make_fx(lambda *args: (fn(*args),))(*values)
    compiling = lowered_graph(graph, values)
    (found,) = compiling()(list(values))
    return compiling.args[0], found


def products(graph: GraphModule) -> int:
    return sum(node.target in PRODUCTS for node in graph.graph.nodes)


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


W, V, B = draw(50, 60, seed=1), draw(40, 50, seed=2), draw(50, seed=3)
K = draw(4, 1, 5, seed=5)
"""Too large to be unrolled."""

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "linear": (lambda x: torch.nn.functional.linear(x, W, B), 1),
    "two layers": (lambda x: (x @ W.T + B).tanh() @ V.T, 3),
    "batched": (lambda x: torch.bmm(x.expand(3, -1, -1), W.T.expand(3, -1, -1)), 1),
    "from the left": (lambda x: W @ x.T, 1),
    "times": (lambda x: (W.T.cos()[:20] * x.repeat(1, 1)[:, :50]) - 3.0, 0),
    "convolution": (lambda x: nn.functional.conv1d(x[:, None], K, B[:4]), 1),
    "in place": (lambda x: (x @ W.T).add_(1.0).mul_(B), 1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_with_zero_tangents_are_dropped(name: str) -> None:
    fn, count = FUNCTIONS[name]
    x, tangents = draw(20, 60), draw(7, 20, 60, seed=4)
    derivative = directional(fn)
    graph, found = lowered(derivative, x, tangents)
    torch.testing.assert_close(found, derivative(x, tangents))
    assert products(graph) == count
    assert not any(node.target is aten.zeros.default for node in graph.graph.nodes)


def test_the_tangent_of_a_bias_is_kept() -> None:
    """Input and bias have one, and the weight of the convolution has one of zeros."""
    primals, tangents = draw(64), draw(64, seed=4)

    def fn(primals: Tensor) -> Tensor:
        x, bias = primals.split([60, 4])
        return nn.functional.conv1d(x.reshape(1, 1, 60), K, bias)

    def derivative(primals: Tensor, tangents: Tensor) -> Tensor:
        found: Tensor = jvp(fn, (primals,), (tangents,))[1]
        return found

    _, found = lowered(derivative, primals, tangents)
    torch.testing.assert_close(found, derivative(primals, tangents))


def test_second_derivatives() -> None:
    def value(x: Tensor) -> Tensor:
        return ((x @ W.T + B).tanh() @ V.T).square().sum()

    x, tangents = draw(20, 60), draw(7, 20, 60, seed=4)
    product = directional(grad(value))
    graph, found = lowered(product, x, tangents)
    torch.testing.assert_close(found, product(x, tangents))
    # Values: W x, V h, and the cotangent of h. Tangents: those, and that of x.
    assert products(graph) == 7


def test_a_tangent_that_is_all_zero() -> None:
    def fn(x: Tensor) -> Tensor:
        return torch.cat([(x.detach() @ W.T), (x @ W.T)], 1)

    x, tangents = draw(20, 60), draw(7, 20, 60, seed=4)
    derivative = directional(fn)
    _, found = lowered(derivative, x, tangents)
    torch.testing.assert_close(found, derivative(x, tangents))
    assert not found[..., :50].any()


def test_sums_keep_the_shape_that_zeros_give_them() -> None:
    def fn(x: Tensor) -> Tensor:
        # As autograd makes a tangent of zeros.
        zero = aten.zeros.default([], dtype=x.dtype, layout=torch.strided)
        added: Tensor = x[:1] + zero.expand(20, 60) * x
        return added

    x = draw(20, 60)
    _, found = lowered(fn, x)
    torch.testing.assert_close(found, fn(x))


def test_zeros_of_the_user_are_kept() -> None:
    def fn(x: Tensor) -> Tensor:
        return x @ W.T + x @ torch.zeros((), dtype=x.dtype).expand(60, 50)

    x = draw(20, 60)
    x[0, 0] = torch.inf
    graph, found = lowered(fn, x)
    assert products(graph) == 2
    assert found[0].isnan().all()
    assert found[1:].isfinite().all()


def test_equal_operations_are_done_once() -> None:
    def fn(x: Tensor, w: Tensor, y: Tensor) -> Tensor:
        return (x @ w.T).sin() @ y + (x @ w.T).cos() @ y

    values = draw(20, 60), W, draw(50, 40)
    graph, found = lowered(fn, *values)
    torch.testing.assert_close(found, fn(*values))
    assert products(graph) == 3
