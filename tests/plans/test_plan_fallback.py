"""A plan whose method fails later goes on with the next verified one."""

import pytest
import torch
from torch import Tensor

import jacengine
from tests.problems import randn


def _branching(x: Tensor) -> Tensor:
    """Take another branch far out, with an operator without a forward formula."""
    if float(x.detach().abs().max()) > 5:
        return torch.cdist(x, x + 1, p=3.0)
    return x @ x.T


X = randn(3, 2)


def test_the_next_candidate_takes_over_and_warns_once(
    recwarn: pytest.WarningsRecorder,
) -> None:
    plan = jacengine.plan(
        _branching, X, strategies=["forward_dual", "reverse_loop"], effort="thorough"
    )
    ranked = plan.selection.ranked
    plan._use(tuple(sorted(ranked, key=lambda r: r.strategy != "forward_dual")))
    assert plan.strategy == "forward_dual"
    with pytest.warns(UserWarning, match="forward_dual failed .*goes on with reverse"):
        J = plan(X * 100)
    wanted = jacengine.jacobian(_branching, X * 100, strategy="reverse_loop")
    torch.testing.assert_close(J, wanted)
    assert plan.strategy == "reverse_loop"
    assert "forward_dual failed" in plan.explain()
    recwarn.clear()
    plan(X * 100)
    assert not recwarn


def test_what_no_candidate_can_do_is_raised() -> None:
    def failing(x: Tensor) -> Tensor:
        if float(x.detach().sum()) > 100:
            raise RuntimeError("the function itself")
        return x * 2

    plan = jacengine.plan(failing, torch.ones(2), effort="none")
    with pytest.raises(RuntimeError, match="the function itself"):
        plan(torch.full((2,), 1000.0))


def test_out_is_filled_by_the_one_that_takes_over() -> None:
    plan = jacengine.plan(
        _branching, X, strategies=["forward_dual", "reverse_loop"], effort="thorough"
    )
    plan._use(tuple(sorted(plan.selection.ranked, key=lambda r: r.strategy)))
    out = torch.full((3, 3, 3, 2), float("nan"), dtype=X.dtype)
    with pytest.warns(UserWarning, match="goes on with"):
        assert plan(X * 100, out=out) is out
    assert out.isfinite().all()


def test_what_was_never_tried_is_tried_then() -> None:
    # Many outputs of few inputs, so that the cost model takes the forward mode first.
    plan = jacengine.plan(
        _branching, X, strategies=["vmap_jvp", "reverse_loop"], effort="none"
    )
    assert plan.strategy == "vmap_jvp"
    with pytest.warns(UserWarning, match="goes on with reverse_loop"):
        J = plan(X * 100)
    wanted = jacengine.jacobian(_branching, X * 100, strategy="reverse_loop")
    torch.testing.assert_close(J, wanted)
