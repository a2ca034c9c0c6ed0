"""`objective` and `constraint` in `minimize`, against SciPy's derivatives."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, sparse
from scipy.optimize import rosen, rosen_der, rosen_hess, rosen_hess_prod
from torch import Tensor, nn

from jacengine import ArgumentError, OutputTypeError
from jacengine.integrations import scipy as jscipy
from jacengine.integrations.scipy import outputs
from jacengine.integrations.scipy.shared import SharedEvaluation
from tests.integrations.counting import Calls

QUICK: dict[str, Any] = {"effort": "none", "compiled": False}
objective: Any = functools.partial(jscipy.objective, **QUICK)
constraint: Any = functools.partial(jscipy.constraint, **QUICK)

minimize: Any = optimize.minimize
"""Without SciPy's stubs, which take their own callbacks alone."""

START = np.array([-1.2, 1.0, 0.7, 1.3])
X = np.array([0.3, -1.0, 2.0, 0.1])


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def test_derivatives_are_scipys() -> None:
    fun, jac, hess, hessp = objective(rosenbrock, START)
    p = np.arange(4.0)
    for x in (START, X):
        value = fun(x)
        assert value.shape == ()
        assert value == pytest.approx(rosen(x), rel=1e-13)
        np.testing.assert_allclose(jac(x), rosen_der(x), rtol=1e-12)
        np.testing.assert_allclose(hess(x), rosen_hess(x), rtol=1e-12)
        np.testing.assert_allclose(hessp(x, p), rosen_hess_prod(x, p), rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "uses"),
    [
        ("BFGS", {"jac"}),
        ("L-BFGS-B", {"jac"}),
        ("CG", {"jac"}),
        ("SLSQP", {"jac"}),
        ("TNC", {"jac"}),
        ("Newton-CG", {"jac", "hess"}),
        ("Newton-CG", {"jac", "hessp"}),
        ("trust-ncg", {"jac", "hessp"}),
        ("trust-krylov", {"jac", "hessp"}),
        ("dogleg", {"jac", "hess"}),
        ("trust-exact", {"jac", "hess"}),
        ("trust-constr", {"jac", "hess"}),
        ("trust-constr", {"jac", "hessp"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(sorted(value)),
)
@pytest.mark.filterwarnings("ignore:delta_grad == 0.0:UserWarning")
def test_minimize_takes_the_steps_of_scipys_derivatives(
    method: Any, uses: set[str]
) -> None:
    ours = objective(rosenbrock, START)._asdict()
    theirs = {"jac": rosen_der, "hess": rosen_hess, "hessp": rosen_hess_prod}
    start = np.full(4, 0.8) if method == "dogleg" else START
    found = minimize(
        ours["fun"], start, method=method, **{name: ours[name] for name in uses}
    )
    expected = minimize(
        rosen, start, method=method, **{name: theirs[name] for name in uses}
    )
    assert found.success == expected.success
    assert found.x == pytest.approx(expected.x, abs=1e-4)
    assert found.nfev == pytest.approx(expected.nfev, rel=0.3)


def test_a_sparse_hessian() -> None:
    n = 100
    start = np.linspace(0.5, 1.5, n)
    f = objective(rosenbrock, start, sparse="csr")
    H = f.hess(start)
    assert isinstance(H, sparse.csr_array)
    assert H.nnz == 3 * n - 2
    np.testing.assert_allclose(H.toarray(), rosen_hess(start), rtol=1e-12)
    found = minimize(f.fun, start, jac=f.jac, hess=f.hess, method="trust-constr")
    assert found.x == pytest.approx(np.ones(n), abs=1e-5)


def test_value_and_gradient_come_from_one_evaluation() -> None:
    counted = Calls(rosenbrock)
    x0 = np.ones(30)
    callbacks = SharedEvaluation(
        functools.partial(outputs.scalar, counted),
        30,
        {**QUICK, "strategies": ["reverse_loop"]},
    )
    callbacks.fun(x0)
    callbacks.jac(x0)
    for k in range(3):
        x = x0 + 0.1 * k
        before = counted.count
        assert callbacks.fun(x) == pytest.approx(rosen(x), rel=1e-12)
        assert counted.count == before + 1
        np.testing.assert_allclose(callbacks.jac(x), rosen_der(x), rtol=1e-12)
        assert counted.count == before + 1


def test_where_no_gradient_is_wanted_none_is_computed() -> None:
    counted = Calls(rosenbrock)
    f = objective(counted, START)
    found = minimize(f.fun, START, method="Nelder-Mead", options={"maxiter": 30})
    assert counted.count == found.nfev


def test_products_at_a_point_share_its_linearization() -> None:
    f = objective(rosenbrock, START)
    f.hessp(START, START)  # chooses
    for x in (START, X, START):
        f.fun(x)
        for p in np.eye(4):
            np.testing.assert_allclose(
                f.hessp(x, p), rosen_hess_prod(x, p), rtol=1e-12, atol=1e-10
            )


def test_new_data_count_at_a_warm_start() -> None:
    shift = torch.zeros(4, dtype=torch.float64)
    f = objective(lambda x: rosenbrock(x - shift), START)
    options: Any = {"jac": f.jac, "hessp": f.hessp, "method": "trust-krylov"}
    first = minimize(f.fun, np.zeros(4), **options)
    shift += 1
    second = minimize(f.fun, first.x, **options)
    assert first.x == pytest.approx(np.ones(4), abs=1e-4)
    assert second.x == pytest.approx(np.full(4, 2.0), abs=1e-4)


def test_a_value_at_a_point_forgets_its_linearization() -> None:
    data = {"scale": 1.0}
    f = jscipy.objective(lambda x: (data["scale"] * x**3).sum(), [1.0, 2.0])
    np.testing.assert_allclose(f.hessp([1.0, 2.0], [1.0, 1.0]), [6.0, 12.0])
    data["scale"] = 5.0
    f.fun([1.0, 2.0])
    np.testing.assert_allclose(f.hessp([1.0, 2.0], [1.0, 1.0]), [30.0, 60.0])


def test_further_arguments_pass() -> None:
    def f(x: Tensor, a: Tensor, b: float) -> Tensor:
        return ((x - a) ** 4).sum() * b

    a = np.array([1.0, -2.0])
    fun, jac, hess, hessp = objective(f, [0, 0])
    x = np.array([3.0, 1.0])
    assert fun(x, a, 2.0) == pytest.approx(2 * ((x - a) ** 4).sum())
    np.testing.assert_allclose(jac(x, a, 2.0), 8 * (x - a) ** 3)
    np.testing.assert_allclose(hess(x, a, 2.0), np.diag(24 * (x - a) ** 2))
    np.testing.assert_allclose(hessp(x, [1, 0], a, 2.0), [24 * 4, 0])
    np.testing.assert_allclose(hessp(x, [1, 0], a, 3.0), [36 * 4, 0])
    found = minimize(
        fun, x, args=(a, 2.0), jac=jac, hess=hess, method="trust-exact", tol=1e-9
    )
    assert found.x == pytest.approx(a, abs=1e-2)


def test_gradients_and_hessians_are_not_overwritten() -> None:
    _, jac, hess, _ = objective(rosenbrock, START)
    kept = [(jac(x), hess(x), x) for x in (START, X, START)]
    for gradient, hessian, x in kept:
        np.testing.assert_allclose(gradient, rosen_der(x), rtol=1e-12)
        np.testing.assert_allclose(hessian, rosen_hess(x), rtol=1e-12)


def test_the_parameters_of_a_model_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    before = [p.clone() for p in model.parameters()]
    f = objective(lambda x: model(x).square().sum(), START)
    minimize(f.fun, START, jac=f.jac, hess=f.hess, method="trust-exact")
    assert all(map(torch.equal, model.parameters(), before))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda x: x, r"shape \(4,\).*value\.sum"),
        (lambda x: x.sum(0, keepdim=True), r"shape \(1,\).*squeeze"),
        (lambda x: x.sum().float(), "float32"),
        (lambda x: float(x.sum()), "float;"),
    ],
)
def test_objectives_that_are_no_number_are_refused(fn: Any, said: str) -> None:
    f = objective(fn, START)
    for callback in (f.fun, f.jac, f.hess, lambda x: f.hessp(x, x)):
        with pytest.raises(OutputTypeError, match=f"(?s){said}"):
            callback(START)


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="sparse='operator'"):
        objective(rosenbrock, START, sparse="operator")
    with pytest.raises(ArgumentError, match="strategies= is no option"):
        objective(rosenbrock, START, strategies=())
    with pytest.raises(ArgumentError, match="p has 2 entries; expected 4"):
        objective(rosenbrock, START).hessp(START, [1, 2])


def curves(x: Tensor) -> Tensor:
    """Return the two constraints of SciPy's tutorial."""
    return torch.stack([x[0] ** 2 + x[1], x[0] ** 2 - x[1]])


@pytest.mark.parametrize("sparse", [None, "csr"])
def test_the_derivatives_of_a_constraint(sparse: Any) -> None:
    found = constraint(curves, [0, 0], -np.inf, 1, sparse=sparse)
    for (a, b), v in (((0.5, 2.0), (0.0, 0.0)), ((3.0, 1.0), (2.0, -7.0))):
        J, H = found.jac([a, b]), found.hess([a, b], v)
        assert sparse is None or J.format == H.format == "csr"
        np.testing.assert_allclose(found.fun([a, b]), [a**2 + b, a**2 - b])
        np.testing.assert_allclose(J @ np.eye(2), [[2 * a, 1], [2 * a, -1]])
        np.testing.assert_allclose(H @ np.eye(2), np.diag([2 * sum(v), 0]))


@pytest.mark.parametrize(
    ("method", "sparse"),
    [("trust-constr", None), ("trust-constr", "csr"), ("SLSQP", None)],
)
def test_minimize_under_constraints(method: Any, sparse: Any) -> None:
    f = objective(rosenbrock, [0, 0], sparse=sparse)
    uses_hess = method == "trust-constr"
    options: Any = {"sparse": sparse, "hess": uses_hess}
    bound = constraint(curves, [0, 0], -np.inf, 1, **options)
    line = constraint(lambda x: 2 * x[0] + x[1], [0, 0], 1, 1, **options)
    derivatives = {"jac": f.jac, **({"hess": f.hess} if uses_hess else {})}
    found = minimize(
        f.fun, [0.5, 0.0], method=method, constraints=[bound, line], **derivatives
    )
    # As in SciPy's tutorial.
    assert found.x == pytest.approx([0.41494531, 0.17010937], abs=1e-4)


def test_first_weights_of_zero_do_not_hide_the_pattern() -> None:
    def f(x: Tensor) -> Tensor:
        # A branch on values: the pattern is found by products.
        return x**3 if x[0] > -100 else x

    x, v = np.linspace(1, 2, 80), np.linspace(-1, 1, 80)
    found = constraint(f, x, 0, 1, sparse="csr")
    assert found.hess(x, np.zeros(80)).nnz == 80
    np.testing.assert_allclose(
        found.hess(x, v).toarray(), np.diag(6 * x * v), rtol=1e-12
    )


def test_keep_feasible_passes() -> None:
    found = constraint(curves, [0, 0], 0, 1, keep_feasible=True)
    assert (found.lb, found.ub, found.keep_feasible) == (0, 1, True)
