"""Hook capture: calls, uses that hooks miss, and removal of the hooks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import jacengine
from jacengine.layers.hook_capture import CaptureUnit, LayerCall, capturing_copy
from jacengine.layers.parameter_uses import uncovered_parameters
from jacengine.layers.sample_axis import (
    SampleAxis,
    candidate_axes,
    reaches_other_samples,
)
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.layers.points import PER_SAMPLE, plan_of
from tests.problems import mlp, randn


def units_of(module: nn.Module) -> list[CaptureUnit]:
    """Make a unit of each parameter's own module."""
    units: dict[str, list[tuple[int, str]]] = {}
    for index, (name, _) in enumerate(module.named_parameters()):
        path, _, last = name.rpartition(".")
        units.setdefault(path, []).append((index, last))
    return [CaptureUnit(path, tuple(members)) for path, members in units.items()]


def hook_count(module: nn.Module) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs")
    return sum(len(vars(m)[name]) for m in module.modules() for name in names)


def capture_pass(module: nn.Module, *args: Tensor) -> tuple[Tensor, list[LayerCall]]:
    with capturing_copy(module, units_of(module)) as (copy, calls):
        out: Tensor = copy(*args)
    return out, calls


class Net(nn.Module):
    """A module whose forward pass is given."""

    def __init__(
        self, run: Callable[[Any, Tensor], Tensor], **parts: nn.Module
    ) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            self.add_module(name, part.double())

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def linear(inputs: int = 3, outputs: int = 3) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def test_captured_calls() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    out, calls = capture_pass(model, x)
    assert [call.unit.path for call in calls] == ["0", "2"]
    assert [call.shapes for call in calls] == [((5, 4),), ((5, 2),)]
    assert calls[0].args[0] is x
    assert calls[1].outputs[0] is out
    assert all(call.inputs_unchanged for call in calls)
    assert calls[0].node_numbers.stop <= calls[1].node_numbers.start


def test_every_call_is_captured() -> None:
    model = Net(lambda m, x: m.a(m.b(m.a(x))), a=linear(), b=linear())
    _, calls = capture_pass(model, randn(5, 3))
    assert [call.unit.path for call in calls] == ["a", "b", "a"]


def test_the_module_itself_has_no_hooks_meanwhile() -> None:
    model = Net(lambda m, x: m.b(m.a(x)), a=linear(), b=linear())
    with capturing_copy(model, units_of(model)) as (copy, _):
        assert hook_count(copy) == 6
        assert hook_count(model) == 0
    assert hook_count(copy) == 0


def test_hooks_are_gone_after_a_call() -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    model[0].register_forward_hook(lambda *_: None)
    before = hook_count(model)
    for strategy in ("quasi_linear", "vmap_vjp"):
        jacengine.jacobian(model, x, strategy=strategy, **PER_SAMPLE)
    assert hook_count(model) == before


MISSED: list[tuple[str, Callable[[Any, Tensor], Tensor], set[str]]] = [
    ("none", lambda m, x: m.b(m.a(x)), set()),
    ("unused", lambda m, x: m.a(x), set()),
    (
        "elsewhere",
        lambda m, x: F.linear(x, m.a.weight, m.b.bias),
        {"a.weight", "b.bias"},
    ),
    ("both", lambda m, x: m.b(m.a(x)) + m.a.bias, {"a.bias"}),
    ("before", lambda m, x: m.a(x * m.b.weight.sum()), {"b.weight"}),
    ("bypassed", lambda m, x: m.a.forward(m.b(x)), {"a.weight", "a.bias"}),
    ("itself", lambda m, x: m.a.weight.expand(len(x), 3, 3), {"a.weight"}),
    ("inside another", lambda m, x: m.b(x + m.a.bias), {"a.bias"}),
]
"""Forward passes, and the parameters with a use that hooks miss."""


@pytest.mark.parametrize(
    ("run", "missed"), [m[1:] for m in MISSED], ids=[m[0] for m in MISSED]
)
def test_missed_uses(run: Callable[[Any, Tensor], Tensor], missed: set[str]) -> None:
    model, x = Net(run, a=linear(), b=linear()), randn(5, 3)
    names, parameters = zip(*model.named_parameters(), strict=True)
    out, calls = capture_pass(model, x)
    assert {names[i] for i in uncovered_parameters((out,), parameters, calls)} == missed
    wanted = reference_jacobian(Case(model, (x,), options=PER_SAMPLE))
    J = jacengine.jacobian(model, x, strategy="quasi_linear", **PER_SAMPLE)
    assert_same(J, wanted, 1e-10)


def test_an_output_that_is_a_parameter_itself() -> None:
    leaf = randn(3).requires_grad_()
    made = leaf * 1
    for output in (leaf, made):
        assert uncovered_parameters((output,), [output], []) == {0}


def test_plan_of_plain_layers() -> None:
    found = plan_of(mlp(3, 4, 2), randn(5, 3))
    assert [unit.path for unit in found.units] == ["0", "2"]
    assert all(contraction.rule is not None for contraction in found.contractions)
    assert found.vjp_parameters == frozenset()
    assert found.vectorisations == ("legacy", "vmap", "none")
    assert found.fingerprint is None


def test_plan_with_a_parent_and_with_the_graph() -> None:
    inner = Net(lambda m, x: F.linear(x, m.a.weight * 2), a=linear())
    outer = Net(lambda m, x: m.b(m.inner(x)), inner=inner, b=linear())
    found = plan_of(outer, randn(5, 3))
    units = {i: unit.path for unit in found.units for i, _ in unit.parameters}
    names = [name for name, _ in outer.named_parameters()]
    assert units[names.index("inner.a.weight")] == "inner"
    assert units[names.index("b.weight")] == "b"
    assert found.vjp_parameters <= {names.index("inner.a.bias")}


def test_where_shapes_are_ambiguous_the_graph_identifies_the_branch() -> None:
    """Four samples of four positions, which one branch transposes."""

    def run(m: Any, x: Tensor) -> Tensor:
        if x[0, 0, 0] > 0:
            y: Tensor = m.a(x).tanh().sum(1)
            return y
        z: Tensor = m.a(x.transpose(0, 1)).tanh().sum(0)
        return z

    model, x = Net(run, a=linear()), randn(4, 4, 3)
    assert plan_of(model, x).fingerprint is not None
    plan = jacengine.plan(
        model, x, **PER_SAMPLE, strategies=["quasi_linear"], effort="none"
    )
    for sign in (1, -1, 1):
        at = x.clone()
        at[0, 0, 0] = sign
        wanted = reference_jacobian(Case(model, (at,), options=PER_SAMPLE))
        assert_same(plan(at), wanted, 1e-10)


def test_an_input_that_is_overwritten() -> None:
    """Autograd does not need it for a bias, but its value is no longer what it was."""

    def run(m: Any, x: Tensor) -> Tensor:
        h = x * 1
        y: Tensor = m.a(h)
        h.mul_(3)
        return y.tanh()

    model, x = Net(run, a=linear()), randn(5, 3)
    model.get_parameter("a.weight").requires_grad = False
    (call,) = capture_pass(model, x)[1]
    assert not call.inputs_unchanged
    wanted = reference_jacobian(Case(model, (x,), options=PER_SAMPLE))
    J = jacengine.jacobian(model, x, strategy="quasi_linear", **PER_SAMPLE)
    assert_same(J, wanted, 1e-10)


LAYOUTS: list[tuple[SampleAxis, Callable[[Tensor], Tensor]]] = [
    (SampleAxis("axis", 0), lambda t: t),
    (SampleAxis("axis", 1), lambda t: t.transpose(0, 1)),
    (SampleAxis("outer", 4), lambda t: t.flatten(0, 1)),
    (SampleAxis("inner", 4), lambda t: t.transpose(0, 1).flatten(0, 1)),
]
"""Sample axes of a layer's input, and what moves samples there."""


@pytest.mark.parametrize(("sample_axis", "arrange"), LAYOUTS)
def test_sample_axes(
    sample_axis: SampleAxis, arrange: Callable[[Tensor], Tensor]
) -> None:
    whole = randn(3, 4, 2)
    assert torch.equal(sample_axis.samples_first(arrange(whole), own=1), whole)
    stacked = torch.stack([arrange(whole), 2 * arrange(whole)])
    samples_first = sample_axis.samples_first(stacked, own=1, skip=1)
    assert torch.equal(samples_first, torch.stack([whole, 2 * whole]))
    for sample in range(3):
        chosen = torch.arange(3) == sample
        alone = arrange(whole * chosen.view(3, 1, 1))
        assert not reaches_other_samples(sample_axis, alone, 1, chosen)
        assert reaches_other_samples(sample_axis, alone, 1, ~chosen)
        assert reaches_other_samples(sample_axis, arrange(whole), 1, chosen)


def test_no_sample_axis() -> None:
    assert SampleAxis("none").samples_first(randn(3, 4, 2), own=1).shape == (1, 12, 2)


def test_candidate_axes() -> None:
    found = [(p.kind, p.at) for p in candidate_axes((3, 4, 3), 3)]
    assert found == [("axis", 0), ("axis", 2)]
    found = [(p.kind, p.at) for p in candidate_axes((6,), 3)]
    assert found == [("outer", 2), ("inner", 2)]
    assert list(candidate_axes((4,), 3)) == []
    assert list(candidate_axes((), 3)) == []


def transposing(m: Any, x: Tensor) -> Tensor:
    """Apply a layer that may have no gradient to samples on axis 1."""
    return torch.relu(m.a(x.transpose(0, 1))).sum(0)


def branching(m: Any, x: Tensor) -> Tensor:
    """Move the sample axis, or not, depending on the values."""
    if bool(x.sum() > 0):
        return torch.tanh(m.a(x)).sum(1)
    return torch.tanh(m.a(x.transpose(0, 1))).sum(0)


def swapping(m: Any, x: Tensor) -> Tensor:
    """Call two layers of the same shapes in an order that depends on the values."""
    swapped: Tensor = m.a(m.b(x)) if bool(x.sum() > 0) else m.b(m.a(x))
    return swapped.sum(1)


def check_later(model: Net, before: Tensor, x: Tensor) -> None:
    """Check a plan that was made at `before` at other arguments."""
    plan = jacengine.plan(
        model, before, strategies=["quasi_linear"], effort="none", **PER_SAMPLE
    )
    model.requires_grad_()
    with torch.no_grad():
        model.get_parameter("a.bias").fill_(0.1)
    wanted = reference_jacobian(Case(model, (x,), options=PER_SAMPLE))
    assert_same(plan(x), wanted, 1e-10)


def test_a_sample_axis_that_was_unknown_when_the_plan_was_made() -> None:
    model, x = Net(transposing, a=linear()), randn(3, 3, 3)
    with torch.no_grad():
        model.get_parameter("a.bias").fill_(-100)
    check_later(model, x, x)


def test_another_branch_with_other_axes() -> None:
    x = randn(3, 3, 3).abs()
    check_later(Net(branching, a=linear()), x, -x)


def test_another_branch_with_another_order() -> None:
    x = randn(5, 3, 3).abs()
    check_later(Net(swapping, a=linear(), b=nn.LayerNorm(3)), x, -x)
