"""The Jacobian as a linear operator: `op @ v`, `op.T @ u`, and what follows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.errors import (
    ArgumentError,
    InputTypeError,
    PatternError,
    kind_of,
    to_tensor_advice,
)
from jacengine.linear_operators.operands import apply_product
from jacengine.linear_operators.recipe import Recipe, make_recipe
from jacengine.plans.process_cache import ProcessCache
from jacengine.plans.request import PlanRequest
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.nesting import refuse_lost_derivatives
from jacengine.problem.real_view import real_arguments
from jacengine.results.huge_pages import allocate

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


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

    __array_ufunc__ = None
    """Makes NumPy leave `array @ op` to this class."""

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
        args, named = real_arguments(callee.fn, args, kwargs or {})
        leaves, structure = pytrees.flatten_call(args, named)
        problem, signature = recipe.problem, recipe.signature
        count = problem.call_spec.count_samples(leaves)
        if count is not None and count != problem.batch_size:
            signature = signature.with_samples(problem.call_spec, count)
            signature.check(callee, leaves, structure)
            request = replace(self._request, args=args, kwargs=named)
            return make_operator(request, timed=False)
        signature.check(callee, leaves, structure)
        bound = problem.bind(callee, leaves)
        return JacobianOperator(self._request, self._timed, recipe, bound)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of products."""
        return self._matrix.like.dtype

    @property
    def device(self) -> torch.device:
        """The device of products."""
        return self._matrix.like.device

    @property
    def batch_size(self) -> int | None:
        """The number of samples; `None` without `batch_dim`."""
        return self._recipe.problem.batch_size

    @property
    def in_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each input that columns are of, with samples first."""
        return self._shapes(self._recipe.problem.inputs)

    @property
    def out_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each output that rows are of, with samples first."""
        return self._shapes(self._recipe.problem.outputs)

    def _shapes(self, specs: Iterable[TensorSpec]) -> tuple[tuple[int, ...], ...]:
        samples = self.batch_size
        return tuple(
            spec.shape
            if samples is None or spec.batch_dim is None
            else (samples, *spec.shape)
            for spec in specs
        )

    @property
    def T(self) -> TransposedOperator:  # noqa: N802 - as of tensors
        """The transpose, to multiply with."""
        return TransposedOperator(self)

    def __matmul__(self, tangents: Tensor | TransposedOperator) -> Tensor:
        """Multiply with a vector, with several, or with the transpose of an operator.

        Args:
            tangents: `(N,)` or `(N, m)`; or `other.T`, for `kernel(other)`.

        Returns:
            `(M,)` or `(M, m)`; or `(M, M')`.

        Raises:
            ArgumentError: It has another length, or is an operator.
            InputTypeError: It is no tensor.
        """
        other: object = tangents
        if isinstance(other, TransposedOperator):
            return self.kernel(other.T)
        if isinstance(other, JacobianOperator):
            _refuse_product("op @ other")
        return apply_product(self._matrix.push, tangents, self.shape[1], "J @ v")

    def __rmatmul__(self, cotangents: Tensor) -> Tensor:
        """Multiply `(M,)` or `(m, M)` with the matrix; returns `(N,)` or `(m, N)`."""
        return apply_product(
            self._matrix.pull, cotangents, self.shape[0], "u @ J", rows=True
        )

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M,)` or `(M, m)`; also `op.T @ u`."""
        return apply_product(self._matrix.pull, cotangents, self.shape[0], "J.T @ u")

    def kernel(self, other: JacobianOperator | None = None) -> Tensor:
        """Return `J J'^T`, `(M, M')`: of parameters, the empirical tangent kernel.

        The kernel between test and training samples is that of
        `jacengine.operator(model, x_test, ...)` and `op`. It is computed as `gram()`
        is: by layers where both operators are, else by products with rows of the
        smaller matrix, some at a time.

        Args:
            other: An operator with the same columns: of the same parameters, or of
                inputs of the same shapes. `None` for this one: `gram()`.

        Raises:
            ArgumentError: Its columns are others.
            InputTypeError: It is no operator.

        Examples:
            >>> import torch, jacengine
            >>> model = torch.nn.Linear(3, 2)
            >>> op = jacengine.operator(
            ...     model, torch.randn(5, 3), wrt="params", batch_dim=0
            ... )
            >>> op.at(torch.randn(4, 3)).kernel(op).shape  # 4 and 5 samples
            torch.Size([8, 10])
        """
        if other is None:
            return self.gram()
        if not isinstance(other, JacobianOperator):
            raise InputTypeError(
                "op.kernel(other) expects an operator of jacengine.operator(...), got "
                f"{kind_of(other)}. Multiply with tensors by op @ v."
            )
        for mine, theirs in itertools.zip_longest(self._columns, other._columns):
            if mine != theirs:
                raise ArgumentError(
                    "A kernel J @ J'.T needs two operators with the same columns; this "
                    f"one has {mine or 'no more'}, and the other has "
                    f"{theirs or 'no more'}."
                )
        return self._matrix.kernel(other._matrix)

    def gram(self) -> Tensor:
        """Return `J J^T`, `(M, M)`: of parameters, the empirical tangent kernel."""
        return self._matrix.kernel(self._matrix)

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
            InputTypeError: `out` is no tensor.
        """
        like = self._matrix.like
        target = out
        if target is None:
            target = allocate(self.shape, dtype=like.dtype, device=like.device)
        if not isinstance(target, Tensor):
            raise InputTypeError(
                f"out= expects a tensor, got {kind_of(out)}.{to_tensor_advice(out)}"
            )
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

    @property
    def _columns(self) -> list[str]:
        """What the columns are: each parameter, or input of all samples, in words."""
        problem = self._recipe.problem
        counts = (problem.sample_count,)
        return [
            f"{spec.label if problem.call_spec.names else 'an input'} of shape "
            f"{spec.shape if spec.batch_dim is None else counts + spec.shape}, "
            f"{spec.dtype} on {spec.device}"
            for spec in problem.inputs
        ]

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

    __array_ufunc__ = None
    """Makes NumPy leave `array @ op.T` to this class."""

    def __init__(self, operator: JacobianOperator) -> None:
        self.T = operator
        self.shape = (operator.shape[1], operator.shape[0])

    def __matmul__(self, cotangents: Tensor | JacobianOperator) -> Tensor:
        """Multiply with a vector `(M,)`, with several, `(M, m)`, or with the operator.

        `op.T @ op` is `op.normal()`.
        """
        other: object = cotangents
        if other is self.T:
            return self.T.normal()
        if isinstance(other, JacobianOperator | TransposedOperator):
            _refuse_product("op.T @ other")
        return apply_product(self.T.pull, cotangents, self.shape[1], "J.T @ u")

    def __rmatmul__(self, tangents: Tensor) -> Tensor:
        """Multiply `(N,)` or `(m, N)` with the transpose: `(M,)` or `(m, M)`."""
        return apply_product(
            self.T.__matmul__, tangents, self.shape[0], "v @ J.T", rows=True
        )

    def __repr__(self) -> str:
        """Say what it is."""
        return f"{self.T!r}.T"


def _refuse_product(what: str) -> NoReturn:
    raise ArgumentError(
        f"{what} is not computed. Of two operators there are op @ other.T, the kernel, "
        "and op.T @ op, the normal matrix; for other products form one of them: "
        "other.dense()."
    )


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
        recipe = make_recipe(request, timed=timed)
        slot.keep(recipe)
    refuse_lost_derivatives(
        request.callee, request.leaves, create_graph=request.options.create_graph
    )
    bound = recipe.problem.bind(request.callee, request.leaves)
    try:
        return JacobianOperator(request, timed, recipe, bound)
    except PatternError:  # it has other nonzeros here: by products from now on
        options = replace(request.options, sparsity=None)
        recipe = make_recipe(replace(request, options=options), timed=timed)
        slot.keep(recipe)
        bound = recipe.problem.bind(request.callee, request.leaves)
        return JacobianOperator(request, timed, recipe, bound)


def _made_again(request: PlanRequest, timed: bool) -> JacobianOperator:
    return make_operator(request, timed=timed)
