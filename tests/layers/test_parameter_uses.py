"""Uses of parameters found in the graph: tied, bare and functional."""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional as F

import jacengine
from jacengine.layers.autograd_graph import vjp_at_edges
from jacengine.layers.parameter_uses import find_uses
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.layers.points import PER_SAMPLE, plan_of
from tests.models_functional import IMAGE, READ, UNREAD, XT, Bare, X
from tests.problems import randn


def right(model: nn.Module, *args: Tensor, **options: Any) -> Any:
    """Check the contraction against plain loops, and return what it gives."""
    wanted = reference_jacobian(Case(model, args, options=PER_SAMPLE))
    J = jacengine.jacobian(
        model, *args, strategy="quasi_linear", **PER_SAMPLE, **options
    )
    assert_same(J, wanted, 1e-10)
    return J


@pytest.mark.parametrize("name", READ)
def test_found(name: str) -> None:
    model, args = READ[name]
    found = plan_of(model, *args)
    assert found.graph_parameters == set(range(len(list(model.parameters()))))
    assert not found.units
    right(model, *args)


@pytest.mark.parametrize("name", READ)
def test_written_into_out(name: str) -> None:
    """Also into strided rows, and over other values."""
    model, args = READ[name]
    wanted = reference_jacobian(Case(model, args, options=PER_SAMPLE))
    for layout in ("dict", "flat"):
        plan = jacengine.plan(
            model,
            *args,
            strategies=["quasi_linear"],
            effort="none",
            layout=layout,
            **PER_SAMPLE,
        )
        out = plan(*args)
        for block in [out] if layout == "flat" else out.values():
            block.fill_(torch.nan)
        assert plan(*args, out=out) is out
        named = jacengine.named_views(out, model) if layout == "flat" else out
        assert_same(dict(named), wanted, 1e-10)


@pytest.mark.parametrize("name", READ)
def test_linear_operator(name: str) -> None:
    model, args = READ[name]
    J = reference_jacobian(Case(model, args, options=PER_SAMPLE))
    op = jacengine.operator(model, *args, **PER_SAMPLE)
    dense = torch.cat(
        [
            J[key].reshape(op.shape[0], parameter.numel())
            for key, parameter in model.named_parameters()
        ],
        dim=1,
    )
    assert_same(op.gram(), dense @ dense.T, 1e-10)
    v = randn(dense.shape[1], seed=9)
    assert_same(op @ v, dense @ v, 1e-10)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", UNREAD)
def test_other_uses_are_right_too(name: str) -> None:
    model, args = UNREAD[name]
    assert not plan_of(model, *args).graph_parameters
    wanted = reference_jacobian(Case(model, args, options=PER_SAMPLE))
    assert_same(jacengine.jacobian(model, *args, **PER_SAMPLE), wanted, 1e-10)


def test_uses_to_which_no_layer_is_equivalent() -> None:
    model = Bare(
        lambda x, W, V, U: (x @ W).tanh() + V.exp().sum() + x @ U + U.sin().sum(),
        W=(3, 2),
        V=(2,),
        U=(3, 2),
    )
    parameters = list(model.parameters())
    calls, unread = find_uses((model(X),), parameters, {0, 1, 2})
    assert unread == {1, 2}
    read = [call.unit.parameters for call in calls]
    assert ((0, "weight"),) in read
    assert not any(index == 1 for ((index, _),) in read)
    assert find_uses((model(X),), parameters, set()) == ([], set())


def test_an_output_that_is_a_view_of_a_parameter() -> None:
    model = Bare(lambda x, W: W[: len(x)].t().t(), W=(9, 2))
    assert find_uses((model(X),), list(model.parameters()), {0}) == ([], {0})


def test_another_branch_of_the_function() -> None:
    """A plan looks up the operators at every call."""

    def run(x: Tensor, W: Tensor) -> Tensor:
        match int(x[0, 0]):
            case 0:
                matrix = W[:, :2]
            case 1:
                matrix = W[:, 2:]
            case 2:
                matrix = W[:2, :3].T
            case _:
                matrix = W.exp()[:, 1:3]
        return (x @ matrix).tanh()

    model = Bare(run, W=(3, 4))
    plan = jacengine.plan(
        model, X, strategies=["quasi_linear"], effort="none", **PER_SAMPLE
    )
    for branch in (0, 1, 2, 3, 2, 1, 0):
        at = X.clone()
        at[:, 0] = branch
        wanted = reference_jacobian(Case(model, (at,), options=PER_SAMPLE))
        assert_same(plan(at), wanted, 1e-10)


def gradient(
    model: nn.Module, args: tuple[Tensor, ...], strategy: str
) -> tuple[Tensor, ...]:
    """Differentiate the squared norm of J."""
    J = jacengine.jacobian(
        model, *args, strategy=strategy, create_graph=True, **PER_SAMPLE
    )
    squares = torch.stack([block.square().sum() for block in J.values()])
    return torch.autograd.grad(squares.sum(), list(model.parameters()))


def test_another_operator() -> None:
    """It returns the same shape, and is equivalent to another layer."""

    def run(x: Tensor, W: Tensor) -> Tensor:
        return ((x @ W) if x[0, 0] > 0 else (x * W[1])).tanh()

    model = Bare(run, W=(3, 3))
    plan = jacengine.plan(
        model, X, strategies=["quasi_linear"], effort="none", **PER_SAMPLE
    )
    for sign in (1, -1, 1):
        at = X.clone()
        at[:, 0] = sign
        wanted = reference_jacobian(Case(model, (at,), options=PER_SAMPLE))
        assert_same(plan(at), wanted, 1e-10)


@pytest.mark.parametrize("name", ["tied", "einsum", "parts", "table", "convolution"])
def test_second_derivatives(name: str) -> None:
    model, args = READ[name]

    found = gradient(model, args, "quasi_linear")
    assert_same(found, gradient(model, args, "reverse_loop"), 1e-9)


@pytest.mark.parametrize("create_graph", [False, True])
def test_some_are_found_and_others_are_not(create_graph: bool) -> None:
    """The others are rerun, with the values of those that are found."""

    def run(x: Tensor, W: Tensor, s: Tensor, V: Tensor) -> Tensor:
        return ((x @ W).tanh() * s.exp()) @ V.sigmoid()

    model = Bare(run, W=(3, 4), s=(4,), V=(4, 2))
    assert plan_of(model, X).graph_parameters == {0}
    J = right(model, X, create_graph=create_graph)
    assert all(block.requires_grad == create_graph for block in J.values())
    if create_graph:
        second = [
            gradient(model, (X,), how) for how in ("quasi_linear", "reverse_loop")
        ]
        assert_same(second[0], second[1], 1e-9)


@pytest.mark.parametrize(
    "run",
    [
        lambda x, W: F.linear(F.linear(x, W).tanh(), W.T).sum(0),
        lambda x, W: (x @ (2 * W.T)).tanh().sum(0),
        lambda x, W: (x @ (W * W[0]).T).tanh().sum(0),
    ],
)
def test_without_samples(run: Callable[..., Tensor]) -> None:
    model = Bare(run, W=(2, 3))
    wanted = reference_jacobian(Case(model, (X,), options={"wrt": "params"}))
    J = jacengine.jacobian(model, X, strategy="quasi_linear", wrt="params")
    assert_same(J, wanted, 1e-10)


def test_in_chunks() -> None:
    model, args = READ["tied"]
    right(model, *args, chunk_size=2)


def test_cells_that_are_called_in_a_loop() -> None:
    """The uses of a weight in all steps are one contraction."""

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(3, 2, dtype=torch.float64)
            self.other = nn.GRUCell(2, 2, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            state = (x.new_zeros(len(x), 2),) * 2
            last = state[0]
            for step in x.unbind(1):
                state = self.cell(step, state)
                last = self.other(state[0], last)
            return last

    model = Loop()
    assert len(plan_of(model, XT).graph_parameters) == 8
    right(model, XT)


def test_one_kernel_on_images_of_two_sizes() -> None:
    model = Bare(
        lambda x, K: (
            F.conv2d(x, K).tanh().sum((2, 3)) * F.conv2d(x[..., 1:], K).sum((2, 3))
        ),
        K=(3, 2, 2, 2),
    )
    right(model, IMAGE)


def test_outputs_of_another_dtype() -> None:
    """J has the outputs' dtype, and is written from cotangents of the parameters'."""
    model = Bare(
        lambda x, W, V: ((x @ W).tanh() @ V).sum(1).float(), W=(3, 4), V=(4, 2)
    )
    layered = nn.Sequential(nn.Linear(3, 4), nn.Tanh()).double()
    layered.append(Bare(lambda x, V: (x @ V).sum(1).float(), V=(4, 2)))
    for module in (model, layered):
        plan = jacengine.plan(module, XT, strategies=["quasi_linear"], **PER_SAMPLE)
        wanted = reference_jacobian(Case(module, (XT,), options=PER_SAMPLE))
        wanted = {name: block.float() for name, block in wanted.items()}
        assert_same(plan(XT), wanted, 1e-6)


def test_a_use_that_does_not_reach_the_outputs() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3, dtype=torch.float64)
            self.captured: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            self.captured = self.layer(x.sin())
            out: Tensor = self.layer(x).tanh()
            return out

    right(Twice(), X)


class Sometimes(torch.autograd.Function):
    """Returns no cotangent instead of a zero one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (g,) = grad_outputs
        return g if g.any() else None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_directions_without_a_cotangent(order: tuple[int, ...]) -> None:
    x = randn(4, 3).requires_grad_()
    inner = x * 2
    out: Tensor = cast("Any", Sometimes).apply(inner)
    seeds = torch.stack([torch.full_like(out, float(scale)) for scale in order])
    (found,) = vjp_at_edges(
        (out,),
        [get_gradient_edge(inner)],
        (seeds,),
        vectorisation="none",
        create_graph=False,
    )
    assert found is not None
    assert torch.equal(found, seeds)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("memory", [False, True])
def test_attention(*, memory: bool) -> None:
    """Its packed projection is a bare parameter, of which queries take a view."""
    torch.manual_seed(0)
    layer: nn.Module = (
        nn.TransformerDecoderLayer(4, 2, 6, 0.0, batch_first=True)
        if memory
        else nn.TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True)
    ).double()
    args = (randn(3, 2, 4), randn(3, 5, 4, seed=2))[: 2 if memory else 1]
    found = plan_of(layer, *args)
    assert not any(contraction.split for contraction in found.contractions)
    assert not found.vjp_parameters
    right(layer, *args)


class Doubled(nn.Module):
    """A layer without a rule, and with an operator that has none."""

    def __init__(self, inputs: int, outputs: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(randn(inputs, outputs).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (2 * self.weight)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("kind", [nn.Linear, nn.GRU, Doubled])
def test_hooks_that_change_gradients(kind: Any) -> None:
    class Hooked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = kind(3, 2, dtype=torch.float64)
            self.body.register_full_backward_pre_hook(
                lambda _, g: tuple(None if part is None else 2 * part for part in g)
            )

        def forward(self, x: Tensor) -> Tensor:
            made = self.body(x.transpose(0, 1))
            out: Tensor = (made[0] if isinstance(made, tuple) else made)[-1]
            return out

    right(Hooked(), XT)
