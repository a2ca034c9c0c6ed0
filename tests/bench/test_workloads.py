import re
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.utils import _pytree as pytree

import jacengine
from jacengine.bench.reference import reference
from jacengine.bench.workload import DerivativeSpec, Workload
from jacengine.bench.workloads import WORKLOADS, parameters
from jacengine.bench.workloads.robots import ROBOTS
from jacengine.bench.workloads.wave_functions import Hydrogen
from jacengine.problem.quantity import SECOND_ORDER, Quantity
from tests.bench.assert_close import assert_close
from tests.bench.closed_forms import CLOSED_FORMS, closed_form
from tests.bench.specs import exact

everywhere = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
# Warnings of PyTorch about operators that strategies try.
quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def tensors(spec: DerivativeSpec) -> list[torch.Tensor]:
    found = list(spec.args)
    if isinstance(spec.fn, nn.Module):
        found += spec.fn.state_dict().values()
    return found


def test_there_are_enough_and_their_names_are_unique() -> None:
    names = [workload.name for workload in WORKLOADS]
    assert len(names) >= 32
    quantities = {workload.build(workload.tiny).quantity for workload in WORKLOADS}
    assert quantities == set(get_args(Quantity)) - {"diagonal", "divergence"}
    assert len(set(names)) == len(names)


@everywhere
def test_a_workload_is_described(workload: Workload) -> None:
    assert re.fullmatch("[a-z][a-z0-9_]*", workload.name)
    assert workload.origin
    assert not workload.origin.endswith(".")
    assert workload.use.endswith(".")
    assert workload.parameter
    assert workload.tiny < workload.sizes[1]
    assert list(workload.sizes) == sorted(set(workload.sizes))


@everywhere
def test_a_build_is_the_same_each_time(workload: Workload, rng_untouched: None) -> None:
    first = workload.build(workload.tiny)
    torch.rand(1, generator=torch.Generator())
    second = workload.build(workload.tiny)
    assert replace(first, fn=second.fn, args=()) == replace(second, args=())
    for one, other in zip(tensors(first), tensors(second), strict=True):
        assert torch.equal(one, other)


@everywhere
def test_a_spec_is_moved_as_a_copy(workload: Workload) -> None:
    spec = workload.build(workload.tiny)
    moved = spec.to(dtype=torch.float64)
    floating = [t for t in tensors(moved) if t.is_floating_point()]
    assert floating
    assert all(t.dtype == torch.float64 for t in floating)
    kept = spec.to()
    for one, other in zip(tensors(spec), tensors(kept), strict=True):
        assert one.data_ptr() != other.data_ptr()
        assert torch.equal(one, other)


@quiet
@everywhere
def test_jacengine_equals_the_reference(workload: Workload) -> None:
    spec = exact(workload)
    expected = reference(spec)
    assert_close(
        jacengine.plan(
            spec.fn,
            *spec.args,
            **spec.options,
            effort="none",
        )(*spec.args),
        expected,
    )


@pytest.mark.parametrize("name", list(CLOSED_FORMS))
def test_the_closed_form_equals_the_reference(name: str) -> None:
    spec = exact(next(w for w in WORKLOADS if w.name == name))
    assert_close(closed_form(name, spec), reference(spec))


@pytest.mark.parametrize(
    "workload",
    [w for w in WORKLOADS if w.build(w.tiny).quantity in SECOND_ORDER],
    ids=lambda w: w.name,
)
def test_hessians_of_torch_equal_the_reference(workload: Workload) -> None:
    spec = exact(workload)
    expected = reference(spec)
    if spec.wrt == "params":
        blocks = whole_by_parameters(spec)
        if spec.quantity == "hessian_diagonal":
            assert isinstance(expected, dict)
            for name, block in expected.items():
                size = block.numel()
                diagonal = blocks[name][name].reshape(size, size).diagonal()
                assert_close(diagonal.reshape(block.shape), block)
            return
        assert_close(blocks, expected)
        return
    H = whole_by_inputs(spec)
    if spec.quantity == "laplacian":
        x = spec.args[0][0]
        square = H.reshape(*expected.shape, x.numel(), x.numel())
        assert_close(torch.einsum("...ii->...", square), expected)
        return
    assert_close(H, expected)


def whole_by_parameters(spec: DerivativeSpec) -> Any:
    module = spec.fn
    assert isinstance(module, nn.Module)
    params = {name: p.detach() for name, p in module.named_parameters()}
    return hessian(lambda p: functional_call(module, p, spec.args))(params)


def whole_by_inputs(spec: DerivativeSpec) -> Any:
    module = spec.fn
    assert isinstance(module, nn.Module)
    module.requires_grad_(requires_grad=False)
    (x,) = spec.args
    if spec.batch_dim is None:
        return hessian(module)(x)
    # Not mapped over samples: torch's forward mode of slogdet is wrong there.
    ones = [hessian(lambda one: module(one.unsqueeze(0))[0])(one) for one in x]
    return torch.stack(ones)


@pytest.mark.parametrize("workload", ROBOTS, ids=lambda w: w.name)
def test_one_pose_is_a_point(workload: Workload) -> None:
    spec = workload.build(1)
    assert spec.batch_dim is None
    if workload.name in CLOSED_FORMS:
        assert_close(closed_form(workload.name, spec), reference(spec))


def test_the_reference_is_a_plain_jacobian() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    expected = torch.diag_embed(2 * x)
    assert_close(reference(DerivativeSpec(torch.square, (x,))), expected)
    whole = reference(DerivativeSpec(torch.square, (x,), batch_dim=None))
    assert whole.shape == (2, 2, 2, 2)
    assert_close(whole[0, :, 0], expected[0])


def test_the_reference_computes_every_quantity() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)

    def cubes(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x**3, 5 * x], -1)

    def computed(quantity: Quantity, batch_dim: int | None = 0) -> Any:
        return reference(DerivativeSpec(cubes, (x,), 0, batch_dim, quantity))

    # cubes[b, i, 0] = x[b, i]^3, and cubes[b, i, 1] is linear.
    expected = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    expected[:, :, 0] = torch.diag_embed(6 * x)
    assert_close(computed("hessian_diagonal"), expected)
    assert_close(computed("hessian"), expected.unsqueeze(-1) * torch.eye(2))
    assert_close(computed("laplacian"), expected.sum(-1))
    assert computed("hessian", None).shape == (2, 2, 2, 2, 2, 2, 2)
    assert computed("hessian_diagonal", None).shape == (2, 2, 2, 2, 2)
    assert_close(computed("laplacian", None), expected.sum(-1))


class Scaled(nn.Module):
    """`w s0 s1^2 x`, at `w = 3` and `s = (1, 1)`."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 3.0))
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * self.scale[0] * self.scale[1] ** 2 * x


def test_the_reference_names_the_rows_of_a_hessian_first() -> None:
    module, x = Scaled(), torch.tensor([1.0, 2.0])
    H = reference(DerivativeSpec(module, (x,), "params", quantity="hessian"))
    assert_close(H["weight"]["scale"], x[:, None, None] * torch.tensor([[1.0, 2.0]]))
    assert_close(H["scale"]["weight"], x[:, None, None] * torch.tensor([[1.0], [2.0]]))
    square = x[:, None, None] * torch.tensor([[0.0, 6.0], [6.0, 6.0]])
    assert_close(H["scale"]["scale"], square)
    diagonal = reference(
        DerivativeSpec(module, (x,), "params", quantity="hessian_diagonal")
    )
    straight = x[:, None] * torch.tensor([[0.0, 6.0]])
    assert_close(diagonal, {"weight": 0 * x[:, None], "scale": straight})
    laplacian = reference(DerivativeSpec(module, (x,), "params", quantity="laplacian"))
    assert_close(laplacian, 6 * x)


def test_the_laplacian_of_a_hydrogen_atom() -> None:
    atom = Hydrogen(1).double()
    electrons = torch.randn(5, 1, 3, dtype=torch.float64)
    # Of log(exp(-r)): the kinetic energy is then the one that 1s states have.
    found = reference(DerivativeSpec(atom, (electrons,), quantity="laplacian"))
    assert_close(found, -2 / electrons.norm(dim=-1).squeeze(-1))


def test_the_reference_leaves_the_module_unchanged() -> None:
    module = nn.Linear(2, 1)
    spec = DerivativeSpec(module, (torch.ones(3, 2),), wrt="params")
    assert_close(reference(spec)["weight"], torch.ones(3, 1, 1, 2))
    assert all(p.grad is None for p in module.parameters())
    assert pytree.tree_leaves(reference(spec))[0].requires_grad is False


def test_data_without_scikit_learn_has_the_same_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def data() -> list[torch.Tensor]:
        return [parameters.diabetes(), *parameters.digits()]

    found = data()
    monkeypatch.setattr(parameters, "installed", lambda library: not library)
    for drawn, real in zip(data(), found, strict=True):
        assert (drawn.shape, drawn.dtype) == (real.shape, real.dtype)
