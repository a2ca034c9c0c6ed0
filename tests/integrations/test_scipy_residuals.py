"""`residuals` in `least_squares` and `root`, against Jacobians written by hand."""

import functools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize, sparse
from scipy.differentiate import jacobian
from scipy.sparse.linalg import LinearOperator
from torch import Tensor, nn

from jacengine import (
    ArgumentError,
    InputTypeError,
    MutatedInputError,
    OutputTypeError,
    PatternError,
)
from jacengine.integrations import scipy as jscipy
from tests.integrations.counting import Calls

residuals: Any = functools.partial(jscipy.residuals, effort="none", compiled=False)
"""Most tests are of what a plan computes, not of how fast."""

# The stubs of SciPy take their own callbacks alone.
least_squares: Any = optimize.least_squares
root: Any = optimize.root

T = np.linspace(0.0, 2.0, 15)
TRUTH = np.array([2.0, -1.3, 0.5])
Y = TRUTH[0] * np.exp(TRUTH[1] * T) + TRUTH[2]
START = np.array([1.0, 0.0, 0.0])


def misfit(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
    return x[0] * torch.exp(x[1] * t) + x[2] - y


def misfit_jacobian(x: Any, t: Any) -> Any:
    decay = np.exp(x[1] * t)
    return np.stack([decay, x[0] * t * decay, np.ones_like(t)], axis=1)


def chain(x: Tensor) -> Tensor:
    """Return residuals each of which has two neighbours; 0 at x = 1."""
    return torch.cat([2 * x[1:] - x[:-1] ** 2 - 1, 1 - x[:1]])


def chain_jacobian(x: Any) -> Any:
    n = len(x)
    J = np.zeros((n, n))
    i = np.arange(n - 1)
    J[i, i], J[i, i + 1] = -2 * x[:-1], 2.0
    J[n - 1, 0] = -1.0
    return J


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
@pytest.mark.parametrize("share", [False, True])
def test_least_squares_fits_with_a_dense_jacobian(method: Any, share: bool) -> None:
    fun, jac = residuals(misfit, START, share_evaluation=share)
    found = least_squares(fun, START, jac, method=method, args=(T, Y))
    expected = least_squares(
        lambda x, t, y: x[0] * np.exp(x[1] * t) + x[2] - y,
        START,
        lambda x, t, _: misfit_jacobian(x, t),
        method=method,
        args=(T, Y),
    )
    assert found.x == pytest.approx(TRUTH, abs=1e-6)
    assert found.x == pytest.approx(expected.x, abs=1e-9)
    assert found.nfev == expected.nfev
    assert found.njev == expected.njev
    np.testing.assert_allclose(found.jac, misfit_jacobian(found.x, T), rtol=1e-12)


@pytest.mark.parametrize("method", ["trf", "dogbox"])
def test_least_squares_fits_with_a_sparse_jacobian(method: Any) -> None:
    start = np.full(100, 0.9)
    fun, jac = residuals(chain, start, sparse="csr")
    J = jac(start)
    assert isinstance(J, sparse.csr_array)
    assert J.nnz == 2 * 99 + 1
    assert J.indices.dtype == np.int32
    np.testing.assert_allclose(J.toarray(), chain_jacobian(start), rtol=1e-12)
    found = least_squares(fun, start, jac, method=method)
    assert found.x == pytest.approx(np.ones(100), abs=1e-6)
    assert jac.plan.problem.pattern.colors == 2


@pytest.mark.parametrize("method", ["trf", "dogbox"])
def test_least_squares_fits_by_products(method: Any) -> None:
    start = np.full(30, 0.9)
    fun, jac = jscipy.residuals(chain, start, sparse="operator")
    J = jac(start)
    assert isinstance(J, LinearOperator)
    u = np.random.default_rng(0).standard_normal((30, 2))
    expected = chain_jacobian(start)
    np.testing.assert_allclose(J @ u, expected @ u, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(
        J.rmatvec(u[:, 0]), expected.T @ u[:, 0], rtol=1e-10, atol=1e-10
    )
    found = least_squares(fun, start, jac, method=method)
    assert found.x == pytest.approx(np.ones(30), abs=1e-5)


def test_an_operator_keeps_its_point() -> None:
    _, jac = jscipy.residuals(chain, np.ones(5), sparse="operator")
    first, u = jac(np.ones(5)), np.arange(5.0)
    jac(np.full(5, 3.0))
    np.testing.assert_allclose(first @ u, chain_jacobian(np.ones(5)) @ u, rtol=1e-12)


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root_finds_a_root(method: Any) -> None:
    def intersection(x: Tensor) -> Tensor:
        return torch.stack([x.square().sum() - 4, x[0] * x[1] - 1])

    fun, jac = residuals(intersection, [2, 0])
    found = root(fun, [2, 0], jac=jac, method=method)
    assert found.success
    assert found.njev > 0
    a, b = found.x
    assert (a * a + b * b, a * b) == pytest.approx((4, 1), abs=1e-8)
    np.testing.assert_allclose(jac(found.x), [[2 * a, 2 * b], [b, a]], rtol=1e-12)


def test_it_agrees_with_finite_differences() -> None:
    def f(x: Tensor) -> Tensor:
        return torch.stack([x.prod(), torch.sin(x[0]) * x[1], x.square().sum(), x[2]])

    def f_numpy(x: Any) -> Any:
        return np.stack([x.prod(0), np.sin(x[0]) * x[1], (x**2).sum(0), x[2]])

    x = np.array([0.3, -1.2, 2.0])
    _, jac = residuals(f, x)
    np.testing.assert_allclose(jac(x), jacobian(f_numpy, x).df, rtol=1e-8, atol=1e-8)


def test_a_single_residual_may_be_a_number() -> None:
    fun, jac = residuals(lambda x: x[0] ** 2 - 2, 1.0)
    assert fun([1.0]).shape == (1,)
    assert jac([1.0]).shape == (1, 1)
    assert root(fun, 1.0, jac=jac).x == pytest.approx(2**0.5)


def test_keyword_arguments_and_numbers_of_numpy_pass() -> None:
    def f(x: Tensor, *, weights: dict[str, Tensor], power: int) -> Tensor:
        assert type(power) is int
        return weights["w"] * x**power

    w = np.array([1.0, 2.0])
    fun, jac = residuals(f, [1, 1])
    kwargs: dict[str, Any] = {"weights": {"w": w}, "power": np.int64(3)}
    np.testing.assert_array_equal(fun([2, 3], **kwargs), [8, 54])
    np.testing.assert_allclose(jac([2, 3], **kwargs), np.diag([12.0, 54.0]))
    kwargs["power"] = 2  # another signature: another plan
    np.testing.assert_allclose(jac([2, 3], **kwargs), np.diag([4.0, 12.0]))


@pytest.mark.parametrize("sparse", [None, "csr", "operator"])
def test_other_data_may_have_another_size(sparse: Any) -> None:
    make: Any = jscipy.residuals if sparse == "operator" else residuals
    _, jac = make(misfit, START, sparse=sparse)
    for count in (15, 7, 15):
        J = jac(TRUTH, T[:count], Y[:count]) @ np.eye(3)
        np.testing.assert_allclose(J, misfit_jacobian(TRUTH, T[:count]), rtol=1e-12)


@pytest.mark.parametrize("share", [False, True])
def test_new_data_count_at_a_warm_start(share: bool) -> None:
    y = torch.from_numpy(Y.copy())
    t = torch.from_numpy(T)
    fun, jac = residuals(lambda x: misfit(x, t, y), START, share_evaluation=share)
    first = least_squares(fun, START, jac)
    y.mul_(2.0)
    second = least_squares(fun, first.x, jac)
    assert first.x == pytest.approx(TRUTH, abs=1e-6)
    assert second.x == pytest.approx(TRUTH * [2, 1, 2], abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "compiled"),
    [
        (None, False),
        ("csr", False),
        ("shared", False),
        ("csr", True),
        ("shared", True),
    ],
)
def test_jacobians_are_not_overwritten(kind: Any, compiled: bool) -> None:
    options: dict[str, Any] = {"share_evaluation": True} if kind == "shared" else {}
    if kind == "csr":
        options["sparse"] = "csr"
    _, jac = jscipy.residuals(chain, np.ones(70), compiled=compiled, **options)
    x, other = np.linspace(0.5, 1.5, 70), np.full(70, 2.0)
    jac(x)
    first = jac(x)
    second = jac(other)
    third = jac(x)
    for J, at in ((first, x), (second, other), (third, x)):
        dense = J.toarray() if kind == "csr" else J
        np.testing.assert_allclose(dense, chain_jacobian(at), rtol=1e-12)
    third *= 0  # what is returned is the caller's
    if kind == "csr":
        third.eliminate_zeros()
    fourth = jac(x)
    dense = fourth.toarray() if kind == "csr" else fourth
    np.testing.assert_allclose(dense, chain_jacobian(x), rtol=1e-12)


def test_large_jacobians_are_not_overwritten() -> None:
    _, jac = residuals(lambda x: torch.outer(x, x).flatten(), np.ones(100))
    first = jac(np.ones(100))  # 8 MB, from the pool of large results
    kept = first.copy()
    for k in range(3):
        jac(np.full(100, 2.0 + k))
    np.testing.assert_array_equal(first, kept)


def test_a_linear_function_keeps_its_matrix() -> None:
    A = torch.randn(6, 4, dtype=torch.float64)
    kept = A.clone()
    for compiled in (False, True):
        fun, jac = jscipy.residuals(lambda x: A @ x, np.ones(4), compiled=compiled)
        J = jac(np.ones(4))
        np.testing.assert_allclose(J, kept.numpy(), rtol=1e-14)
        J[:] = 0
        fun(np.ones(4))[:] = 0
        assert torch.equal(A, kept)


def test_a_constant_is_not_handed_out() -> None:
    constant = torch.ones(3, dtype=torch.float64)
    fun, _ = residuals(lambda _: constant, [1.0])
    fun([1.0])[:] = 5
    assert torch.equal(constant, torch.ones(3, dtype=torch.float64))


def test_one_evaluation_serves_both() -> None:
    counted = Calls(lambda x: torch.stack([x.sin().sum(), x.square().sum()]))
    fun, jac = residuals(
        counted, np.ones(40), share_evaluation=True, strategies=["vmap_vjp"]
    )
    jac(np.ones(40))  # makes the plan, and says that J is wanted
    x = np.linspace(0, 1, 40)
    before = counted.count
    value, J = fun(x), jac(x)
    assert counted.count == before + 1
    np.testing.assert_allclose(value, [np.sin(x).sum(), (x**2).sum()], rtol=1e-14)
    np.testing.assert_allclose(J, [np.cos(x), 2 * x], rtol=1e-14)
    fun(x + 1)  # at a rejected step J is not asked for
    before = counted.count
    np.testing.assert_allclose(
        fun(x + 2), [np.sin(x + 2).sum(), ((x + 2) ** 2).sum()], rtol=1e-14
    )
    assert counted.count == before + 1
    np.testing.assert_allclose(jac(x + 2), [np.cos(x + 2), 2 * (x + 2)], rtol=1e-14)


def test_a_further_value_at_a_point_forgets_its_jacobian() -> None:
    scale = torch.ones(2, dtype=torch.float64)
    fun, jac = jscipy.residuals(
        lambda x: scale * x**2, [1.0, 2.0], share_evaluation=True
    )
    jac([1.0, 2.0])
    fun([3.0, 4.0])
    scale.fill_(5.0)
    fun([3.0, 4.0])
    np.testing.assert_allclose(jac([3.0, 4.0]), np.diag([30.0, 40.0]))


def test_what_is_shared_belongs_to_one_call() -> None:
    scale = [1.0]
    fun, jac = residuals(lambda x, c: c * scale[0] * x, [1.0], share_evaluation=True)
    a, b = np.array(2.0), np.array(3.0)
    jac([1.0], a)
    fun([1.0], a)
    assert jac([1.0], b)[0, 0] == 3  # another argument
    fun([1.0], a)
    assert jac([2.0], a)[0, 0] == 2
    fun([1.0], a)
    jac([1.0], a)
    scale[0] = 5.0
    assert fun([1.0], a)[0] == 10
    assert jac([1.0], a)[0, 0] == 10


BAD: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "float32": (lambda x: x.float(), "float32"),
    "ndarray": (lambda x: x.detach().numpy(), "ndarray"),
    "None": (lambda _: None, "NoneType"),
    "list": (lambda x: [x, x], "list"),
    "matrix": (lambda x: torch.outer(x, x), r"shape \(2, 2\)"),
    "complex": (lambda x: x.to(torch.complex128), "complex128"),
    "integer": (lambda x: x.long(), "int64"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", [None, "csr", "operator", "shared"])
def test_functions_that_return_something_else_are_refused(name: str, kind: Any) -> None:
    fn, said = BAD[name]
    options: dict[str, Any]
    options = {"share_evaluation": True} if kind == "shared" else {"sparse": kind}
    for callback in jscipy.residuals(fn, [1.0, 2.0], **options):
        with pytest.raises(OutputTypeError, match=said):
            callback([1.0, 2.0])


def test_a_function_that_turns_bad_is_refused() -> None:
    def f(x: Tensor) -> Tensor:
        return x.float() if x[0] > 1 else x

    fun, jac = residuals(f, [0.0])
    jac([0.0])
    for callback in (fun, jac):
        with pytest.raises(OutputTypeError, match="float32"):
            callback([2.0])


@pytest.mark.parametrize(
    "x",
    [
        [1, 2],
        (1.0, 2.0),
        np.array([1, 2], dtype=np.int32),
        np.array([1, 2], dtype=np.float32),
        np.array([1.0, 2.0], dtype=">f8"),
        np.array([1.0, 9.0, 2.0, 9.0])[::2],
        torch.tensor([1.0, 2.0], requires_grad=True),
    ],
    ids=lambda x: f"{type(x).__name__} {getattr(x, 'dtype', '')}",
)
def test_numbers_of_every_kind_become_float64(x: Any) -> None:
    fun, jac = residuals(lambda x: x / 3, x)
    assert fun(x).dtype == np.float64
    np.testing.assert_array_equal(fun(x), np.array([1.0, 2.0]) / 3)
    np.testing.assert_array_equal(jac(x), np.eye(2) / 3)


def test_read_only_arrays_pass() -> None:
    x = np.array([1.0, 2.0])
    x.flags.writeable = False
    fun, jac = residuals(lambda x, w: w * x, x)
    np.testing.assert_array_equal(fun(x, x), [1, 4])
    np.testing.assert_array_equal(jac(x, x), np.diag(x))


@pytest.mark.parametrize(
    ("x0", "error", "said"),
    [
        ([[1.0]], ArgumentError, r"x0 has shape \(1, 1\)"),
        ([1j], InputTypeError, "complex128"),
        (["a"], InputTypeError, "<U1"),
        ([None], InputTypeError, "object"),
        ([True], InputTypeError, "bool"),
    ],
)
def test_starting_points_that_are_no_vectors_are_refused(
    x0: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        jscipy.residuals(chain, x0)


def test_another_length_is_refused() -> None:
    for callback in residuals(chain, np.ones(3)):
        with pytest.raises(ArgumentError, match="x has 4 entries; expected 3"):
            callback(np.ones(4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sparse": "csc"}, "sparse='csc': expected one of None, 'csr', 'operator'"),
        ({"sparse": "csr", "share_evaluation": True}, "dense Jacobians"),
        ({"effrt": "none"}, "Did you mean 'effort'"),
        ({"wrt": 1}, "wrt= is no option here"),
        ({"sparse": "operator", "effort": "none"}, "exclude, strategies"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgumentError, match=said):
        jscipy.residuals(chain, [1.0], **options)


def test_a_function_that_writes_into_its_argument_does_not_reach_scipy() -> None:
    fun, jac = residuals(lambda x: x.mul_(2), [1.0])
    x = np.array([1.0])
    assert fun(x)[0] == 2
    assert x[0] == 1
    with pytest.raises(MutatedInputError):
        jac(x)


@pytest.mark.parametrize("kind", [None, "csr", "operator", "shared"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupt_leaves_the_callbacks_usable(kind: Any, at: int) -> None:
    left = [10**9]

    def f(x: Tensor) -> Tensor:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return x**2

    options: dict[str, Any]
    options = {"share_evaluation": True} if kind == "shared" else {"sparse": kind}
    fun, jac = jscipy.residuals(f, [1.0, 2.0], **options)
    for _ in range(2):  # while the plan is made, and after that
        left[0] = at
        with pytest.raises(KeyboardInterrupt):
            least_squares(fun, [1.0, 2.0], jac)
        left[0] = 10**9
        np.testing.assert_array_equal(fun([3.0, 4.0]), [9, 16])
        np.testing.assert_allclose(jac([3.0, 4.0]) @ np.eye(2), np.diag([6.0, 8.0]))


def test_a_model_is_left_as_it_is() -> None:
    first, last = nn.Linear(3, 4), nn.Linear(4, 2)
    model = nn.Sequential(first, nn.Tanh(), last).double()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    fun, jac = residuals(model, np.ones(3))
    found = least_squares(fun, np.ones(3), jac)
    assert found.jac.shape == (2, 3)
    W1, W2 = (layer.weight.detach().numpy() for layer in (first, last))
    bias = first.bias.detach().numpy()
    slope = 1 - np.tanh(W1 @ found.x + bias) ** 2
    np.testing.assert_allclose(found.jac, W2 @ (slope[:, None] * W1), rtol=1e-10)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert model.training


def branching(x: Tensor) -> Tensor:
    """Depend on neighbours where x[0] is positive, else on nothing but the entry."""
    return x * x.roll(1) if x[0] > 0 else x**2


def test_a_pattern_that_is_too_small_is_found_anew() -> None:
    _, jac = residuals(branching, -np.ones(80), sparse="csr")
    assert jac(-np.ones(80)).nnz == 80
    x = np.linspace(1, 2, 80)
    with pytest.warns(UserWarning, match="found anew"):
        J = jac(x)
    expected = np.diag(np.roll(x, 1))
    expected[np.arange(80), np.arange(80) - 1] += x
    np.testing.assert_allclose(J.toarray(), expected, rtol=1e-12)
    np.testing.assert_allclose(jac(-x).toarray(), np.diag(-2 * x), rtol=1e-12)


def test_a_pattern_of_the_users_that_is_too_small_is_an_error() -> None:
    _, jac = residuals(branching, -np.ones(80), sparse="csr", sparsity=np.eye(80) > 0)
    np.testing.assert_allclose(jac(-np.ones(80)).toarray(), -2 * np.eye(80))
    with pytest.raises(PatternError):
        jac(np.ones(80))


def test_a_dense_jacobian_does_without_a_pattern_that_is_too_small() -> None:
    n = 600
    _, jac = residuals(branching, -np.ones(n), effort="quick", exclude=["elimination"])
    np.testing.assert_allclose(jac(-np.ones(n)), -2 * np.eye(n))
    x = np.linspace(1, 2, n)
    expected = np.diag(np.roll(x, 1))
    expected[np.arange(n), np.arange(n) - 1] += x
    with pytest.warns(UserWarning, match="not used any more"):
        J = jac(x)
    np.testing.assert_allclose(J, expected, rtol=1e-12)


def test_a_function_may_differentiate_by_itself() -> None:
    def slope_misfit(x: Tensor) -> Tensor:
        at = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
        u = (x[0] * at**2 + x[1] * at).sum()
        return torch.autograd.grad(u, at, create_graph=True)[0] - 1

    fun, jac = residuals(slope_misfit, [0, 0])
    with torch.no_grad():
        np.testing.assert_allclose(fun([1, 2]), [1, 2, 3])
        np.testing.assert_allclose(jac([1, 2]), [[0, 1], [1, 1], [2, 1]])


@pytest.mark.parametrize("share", [False, True])
def test_threads_may_share_callbacks(share: bool) -> None:
    fun, jac = residuals(misfit, START, share_evaluation=share)

    def work(seed: int) -> None:
        for x in np.random.default_rng(seed).standard_normal((20, 3)):
            value, J = fun(x, T, Y), jac(x, T, Y)
            expected = x[0] * np.exp(x[1] * T) + x[2] - Y
            np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(J, misfit_jacobian(x, T), rtol=1e-10)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


@pytest.mark.parametrize("kind", [None, "csr", "shared"])
def test_callbacks_can_be_pickled(kind: Any) -> None:
    options: dict[str, Any]
    options = {"share_evaluation": True} if kind == "shared" else {"sparse": kind}
    callbacks = pickle.loads(pickle.dumps(residuals(chain, np.ones(4), **options)))
    np.testing.assert_allclose(callbacks.fun(np.ones(4)), np.zeros(4))
    J = callbacks.jac(np.ones(4)) @ np.eye(4)
    np.testing.assert_allclose(J, chain_jacobian(np.ones(4)))
