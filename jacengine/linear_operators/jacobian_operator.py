"""The Jacobian as a linear operator: `op @ v`, `op.T @ u`, and what follows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import ArgumentError, PatternError
from jacengine.linear_operators.factored import factor_by_layers
from jacengine.linear_operators.matrix_free import (
    ImplicitMatrix,
    Linearization,
    MatrixFree,
)
from jacengine.linear_operators.method_pair import fastest, vjp_agrees
from jacengine.linear_operators.sparse import sparse_matrix
from jacengine.plans.examine import examine
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.nesting import refuse_lost_derivatives
from jacengine.problem.problem import Problem
from jacengine.problem.signature import Signature
from jacengine.results.huge_pages import allocate

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


@dataclass(frozen=True)
class Recipe:
    """How operators of a signature are made; chosen and verified once.

    `matrix` makes that of a bound function, and `method` says how, in words.
    """

    problem: Problem
    signature: Signature
    matrix: Callable[[BoundFunction], ImplicitMatrix]
    method: str


_RECIPES = ProcessCache[Recipe](lambda recipe: recipe.problem)


class JacobianOperator:
    """A Jacobian `(M, N)`, of a function or of its gradient, known by its products.

    Rows are the output entries, sample by sample; columns the entries of the inputs
    (with `batch_dim`, of all samples) or of the parameters, one after the other, as in
    `layout="flat"`.

    Attributes:
        shape: `(M, N)`.
        method: How products are computed, in words.
    """

    def __init__(
        self, request: PlanRequest, timed: bool, recipe: Recipe, bound: BoundFunction
    ) -> None:
        self._request, self._timed = request, timed
        self._recipe = recipe
        self._bound = bound
        self._matrix = recipe.matrix(bound)
        self.shape = self._matrix.shape
        self.method = recipe.method

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the call: its graph stays here, and the operator is made anew."""
        args, kwargs = self._bound.call_spec.structure.unflatten(self._bound.leaves)
        request = replace(self._request, args=args, kwargs=kwargs)
        return _made_again, (request, self._timed)

    def at(
        self, *args: Any, kwargs: Mapping[str, Any] | None = None
    ) -> JacobianOperator:
        """Return the operator at other arguments of the same signature.

        Nothing is chosen or verified again, as by a plan; for another number of
        samples, once.

        Args:
            args: The function's positional arguments.
            kwargs: Its keyword arguments.

        Raises:
            PlanMismatchError: The arguments have another signature.
        """
        recipe, callee = self._recipe, self._bound.callee
        leaves, structure = pytrees.flatten_call(args, kwargs or {})
        problem, signature = recipe.problem, recipe.signature
        count = problem.call_spec.count_samples(leaves)
        if count is not None and count != problem.batch_size:
            signature = signature.with_samples(problem.call_spec, count)
            signature.check(callee, leaves, structure)
            request = replace(self._request, args=args, kwargs=kwargs or {})
            return make_operator(request, timed=False)
        signature.check(callee, leaves, structure)
        bound = problem.bind(callee, leaves)
        return JacobianOperator(self._request, self._timed, recipe, bound)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of products."""
        return self._matrix.like.dtype

    @property
    def T(self) -> TransposedOperator:  # noqa: N802 - as of tensors
        """The transpose, to multiply with."""
        return TransposedOperator(self)

    def __matmul__(self, tangents: Tensor) -> Tensor:
        """Multiply with a vector or with several.

        Args:
            tangents: `(N,)` or `(N, m)`.

        Returns:
            `(M,)` or `(M, m)`.

        Raises:
            ArgumentError: It has another length.
        """
        return _applied(self._matrix.push, tangents, self.shape[1], "J @ v")

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M,)` or `(M, m)`; also `op.T @ u`."""
        return _applied(self._matrix.pull, cotangents, self.shape[0], "J.T @ u")

    def gram(self) -> Tensor:
        """Return `J J^T`, `(M, M)`: of parameters, the empirical tangent kernel."""
        return self._matrix.gram()

    def normal(self) -> Tensor:
        """Return `J^T J`, `(N, N)`, for few columns."""
        return self._matrix.normal()

    def normal_diagonal(self) -> Tensor:
        """Return the diagonal of `J^T J`, `(N,)`: squared norms of the columns."""
        return self._matrix.column_squares()

    def row_norms(self) -> Tensor:
        """Return the norms of the rows, `(M,)`: of parameters, ghost norms."""
        return self._matrix.row_squares().sqrt()

    def parts(self) -> Iterator[Tensor]:
        """Yield the rows, `(rows, N)`, as many at a time as 2^24 entries have."""
        for _, rows in self._matrix.parts():
            yield rows.detach()

    def dense(self, out: Tensor | None = None) -> Tensor:
        """Form the matrix.

        Args:
            out: `(M, N)`, or any contiguous tensor of as many entries, such as
                `(B, *out, N)`; written in place and returned.

        Raises:
            ArgumentError: `out` is no such tensor.
        """
        like = self._matrix.like
        target = out
        if target is None:
            target = allocate(self.shape, dtype=like.dtype, device=like.device)
        size = self.shape[0] * self.shape[1]
        if target.numel() != size or not target.is_contiguous():
            raise ArgumentError(
                f"out= has shape {tuple(target.shape)}; expected a contiguous tensor of"
                f" {self.shape[0]} x {self.shape[1]} entries."
            )
        if self._matrix.differentiable and out is None:
            return torch.cat([rows for _, rows in self._matrix.parts()])
        matrix = target.view(self.shape)
        with torch.no_grad():
            for part, rows in self._matrix.parts():
                matrix[part] = rows
        return target

    def linear_operator(self) -> LinearOperator:
        """Return it as a `scipy.sparse.linalg.LinearOperator`, on NumPy arrays."""
        from scipy.sparse.linalg import LinearOperator  # noqa: PLC0415 - if wanted

        like = self._matrix.like

        def numpy(product: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
            return lambda array: (
                product(torch.as_tensor(array).to(like)).detach().cpu().numpy()
            )

        push, pull = numpy(self.__matmul__), numpy(self.pull)
        dtype = torch.empty(0, dtype=like.dtype, device="cpu").numpy().dtype
        return LinearOperator(
            self.shape,
            matvec=push,
            rmatvec=pull,
            matmat=push,
            rmatmat=pull,
            dtype=dtype,
        )

    def __repr__(self) -> str:
        """Say what it is."""
        return f"JacobianOperator({self.shape[0]} x {self.shape[1]}, {self.method})"


class TransposedOperator:
    """The transpose of a Jacobian operator.

    Attributes:
        T: The operator itself.
        shape: `(N, M)`.
    """

    def __init__(self, operator: JacobianOperator) -> None:
        self.T = operator
        self.shape = (operator.shape[1], operator.shape[0])

    def __matmul__(self, cotangents: Tensor) -> Tensor:
        """Multiply with a vector `(M,)` or with several, `(M, m)`."""
        return self.T.pull(cotangents)


def make_operator(request: PlanRequest, *, timed: bool) -> JacobianOperator:
    """Make the operator of a call: by layers if they factor J, else matrix-free.

    Args:
        request: A call of quantity `jacobian` or `hessian`.
        timed: Whether the methods for JVPs and VJPs are chosen by measurement.

    Raises:
        NoStrategyError: No strategy computes JVPs, or none VJPs.
        JacengineError: As `auto`.
    """
    slot = _RECIPES.slot(request, timed)
    recipe = slot.value
    if recipe is None:
        recipe = _make_recipe(request, timed=timed)
        slot.keep(recipe)
    refuse_lost_derivatives(
        request.callee, request.leaves, create_graph=request.options.create_graph
    )
    bound = recipe.problem.bind(request.callee, request.leaves)
    try:
        return JacobianOperator(request, timed, recipe, bound)
    except PatternError:  # it has other nonzeros here: by products from now on
        options = replace(request.options, sparsity=None)
        recipe = _make_recipe(replace(request, options=options), timed=timed)
        slot.keep(recipe)
        bound = recipe.problem.bind(request.callee, request.leaves)
        return JacobianOperator(request, timed, recipe, bound)


def _make_recipe(request: PlanRequest, *, timed: bool) -> Recipe:
    """Choose and verify how operators of a call are made."""
    problem, bound, reference = examine(request)
    names = problem.call_spec.names
    signature = Signature.of(request.callee, request.args, request.kwargs, names)
    for composition in request.compositions:
        contracts = composition.capabilities.per_sample_shared
        if contracts and composition.strategy.check(problem) is None:
            factored = factor_by_layers(problem, bound, composition)
            if factored is not None and vjp_agrees(factored(bound), problem, reference):
                return Recipe(problem, signature, factored, "by layers")
    sparse = sparse_matrix(request, problem, timed=timed)
    if sparse is not None:
        matrix, method = sparse
        if vjp_agrees(matrix(bound), problem, reference):
            return Recipe(problem, signature, matrix, method)
    choose = functools.partial(
        fastest, problem, bound, reference, request.compositions, timed=timed
    )
    jvp, vjp = choose("jvp"), choose("vjp")

    def matrix_free(bound: BoundFunction) -> ImplicitMatrix:
        jvps = Linearization(problem, bound, jvp)
        return MatrixFree(problem, jvps, Linearization(problem, bound, vjp))

    method = f"JVPs by {jvp.name}, VJPs by {vjp.name}"
    return Recipe(problem, signature, matrix_free, method)


def _made_again(request: PlanRequest, timed: bool) -> JacobianOperator:
    return make_operator(request, timed=timed)


def _applied(
    product: Callable[[Tensor], Tensor], vectors: Tensor, length: int, what: str
) -> Tensor:
    if vectors.dim() not in {1, 2} or vectors.shape[0] != length:
        raise ArgumentError(
            f"{what} got a tensor of shape {tuple(vectors.shape)}; expected "
            f"({length},) or ({length}, m)."
        )
    if vectors.dim() == 1:
        return product(vectors.unsqueeze(1)).squeeze(1)
    return product(vectors)
