import re

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

import jacengine
from jacengine.bench.reference import reference
from jacengine.bench.workload import Question, Workload
from jacengine.bench.workloads import WORKLOADS, datasets
from jacengine.bench.workloads.robots import ROBOTS
from tests.bench.agree import agree

everywhere = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
# What the strategies try and decline says so in torch's words.
quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def tensors(question: Question) -> list[torch.Tensor]:
    found = list(question.args)
    if isinstance(question.fn, nn.Module):
        found += question.fn.state_dict().values()
    return found


def exact(workload: Workload, size: int) -> Question:
    return workload.build(size).to(dtype=torch.float64)


def test_there_are_enough_and_their_names_are_unique() -> None:
    names = [workload.name for workload in WORKLOADS]
    assert len(names) >= 22
    assert len(set(names)) == len(names)


@everywhere
def test_a_workload_says_what_it_is(workload: Workload) -> None:
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
    assert (first.wrt, first.batch_dim) == (second.wrt, second.batch_dim)
    for one, other in zip(tensors(first), tensors(second), strict=True):
        assert torch.equal(one, other)


@everywhere
def test_a_question_moves_as_a_copy(workload: Workload) -> None:
    question = workload.build(workload.tiny)
    moved = question.to(dtype=torch.float64)
    assert all(t.dtype == torch.float64 for t in tensors(moved))
    kept = question.to()
    for one, other in zip(tensors(question), tensors(kept), strict=True):
        assert one.data_ptr() != other.data_ptr()
        assert torch.equal(one, other)


@quiet
@everywhere
def test_jacengine_agrees_with_the_reference(workload: Workload) -> None:
    question = exact(workload, workload.tiny)
    expected = reference(question)
    agree(
        jacengine.auto(
            question.fn,
            *question.args,
            wrt=question.wrt,
            batch_dim=question.batch_dim,
            effort="none",
        ),
        expected,
    )


@pytest.mark.parametrize(
    "workload", [w for w in WORKLOADS if w.closed_form], ids=lambda w: w.name
)
def test_the_formula_agrees_with_the_reference(workload: Workload) -> None:
    question = exact(workload, workload.tiny)
    assert workload.closed_form is not None
    agree(workload.closed_form(question), reference(question))


@pytest.mark.parametrize("workload", ROBOTS, ids=lambda w: w.name)
def test_one_pose_is_a_point(workload: Workload) -> None:
    question = workload.build(1)
    assert question.batch_dim is None
    if workload.closed_form is not None:
        agree(workload.closed_form(question), reference(question))


def test_the_reference_is_a_plain_jacobian() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    expected = torch.diag_embed(2 * x)
    agree(reference(Question(torch.square, (x,))), expected)
    whole = reference(Question(torch.square, (x,), batch_dim=None))
    assert whole.shape == (2, 2, 2, 2)
    agree(whole[0, :, 0], expected[0])


def test_the_reference_leaves_the_module_alone() -> None:
    module = nn.Linear(2, 1)
    question = Question(module, (torch.ones(3, 2),), wrt="params")
    agree(reference(question)["weight"], torch.ones(3, 1, 1, 2))
    assert all(p.grad is None for p in module.parameters())
    assert pytree.tree_leaves(reference(question))[0].requires_grad is False


def test_data_without_scikit_learn_has_the_same_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = datasets.diabetes().shape, datasets.digits().shape
    monkeypatch.setattr(datasets, "installed", lambda library: not library)
    assert (datasets.diabetes().shape, datasets.digits().shape) == shapes
