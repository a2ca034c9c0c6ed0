"""The Jacobian as a linear operator: `op @ v`, `op.T @ u`, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from jacengine.api.builtin_registry import known_strategies
from jacengine.errors import ArgumentError
from jacengine.interface import Contraction
from jacengine.linear_operators.factored import layered
from jacengine.linear_operators.linear_map import Backend
from jacengine.linear_operators.matrix_free import Linearization, MatrixFree
from jacengine.linear_operators.method_pair import paired, pulls_right
from jacengine.problem.analyze import analyze
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Options, Problem, Randomness
from jacengine.problem.signature import Signature
from jacengine.results.huge_pages import allocate
from jacengine.selection.reference import Reference

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


@dataclass(frozen=True)
class Recipe:
    """How an operator is made at a point; found and verified once.

    Attributes:
        problem: What is differentiated.
        signature: Of the calls that it holds for.
        backend: Makes the operator's products at a call.
        method: How products are obtained, in words.
    """

    problem: Problem
    signature: Signature
    backend: Callable[[BoundFunction], Backend]
    method: str


class JacobianOperator:
    """A Jacobian `(M, N)`, of a function or of its gradient, known by its products.

    Rows are the output entries, sample by sample; columns the entries of the inputs
    (with `batch_dim`, of all samples) or of the parameters, one after the other, as in
    `layout="flat"`.

    Attributes:
        shape: `(M, N)`.
        method: How products are obtained, in words.
    """

    def __init__(self, recipe: Recipe, bound: BoundFunction) -> None:
        """Follow a recipe at a call."""
        self._recipe = recipe
        self._backend = recipe.backend(bound)
        self.shape = self._backend.shape
        self.method = recipe.method

    def at(
        self, *args: Any, kwargs: Mapping[str, Any] | None = None
    ) -> JacobianOperator:
        """Return the operator at other arguments of the same signature.

        Nothing is looked for or verified again, as by a plan.

        Args:
            args: The function's positional arguments.
            kwargs: Its keyword arguments.

        Raises:
            PlanMismatchError: The arguments have another signature.
        """
        problem = self._recipe.problem
        leaves = self._recipe.signature.leaves_of(problem.fn, args, kwargs or {})
        return JacobianOperator(self._recipe, problem.bound(leaves))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of products."""
        return self._backend.like.dtype

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
        return _applied(self._backend.push, tangents, self.shape[1], "J @ v")

    def pull(self, cotangents: Tensor) -> Tensor:
        """Multiply the transpose with `(M,)` or `(M, m)`; also `op.T @ u`."""
        return _applied(self._backend.pull, cotangents, self.shape[0], "J.T @ u")

    def gram(self) -> Tensor:
        """Return `J J^T`, `(M, M)`: of parameters, the empirical tangent kernel."""
        return self._backend.gram()

    def normal(self) -> Tensor:
        """Return `J^T J`, `(N, N)`, for few columns."""
        return self._backend.normal()

    def normal_diagonal(self) -> Tensor:
        """Return the diagonal of `J^T J`, `(N,)`: squared norms of the columns."""
        return self._backend.column_squares()

    def row_norms(self) -> Tensor:
        """Return the norms of the rows, `(M,)`: of parameters, ghost norms."""
        return self._backend.row_squares().sqrt()

    def dense(self, out: Tensor | None = None) -> Tensor:
        """Form the matrix.

        Args:
            out: `(M, N)`, or any contiguous tensor of as many entries, such as
                `(B, *out, N)`; written in place and returned.

        Raises:
            ArgumentError: `out` is no such tensor.
        """
        like = self._backend.like
        target = out
        if target is None:
            target = allocate(self.shape, dtype=like.dtype, device=like.device)
        size = self.shape[0] * self.shape[1]
        if target.numel() != size or not target.is_contiguous():
            raise ArgumentError(
                f"out= has shape {tuple(target.shape)}; expected a contiguous tensor of"
                f" {self.shape[0]} x {self.shape[1]} entries."
            )
        if self._backend.records and out is None:
            return torch.cat([rows for _, rows in self._backend.parts()])
        matrix = target.view(self.shape)
        with torch.no_grad():
            for part, rows in self._backend.parts():
                matrix[part] = rows
        return target

    def linear_operator(self) -> LinearOperator:
        """Return it as a `scipy.sparse.linalg.LinearOperator`, on NumPy arrays."""
        from scipy.sparse.linalg import LinearOperator  # noqa: PLC0415 - if wanted

        like = self._backend.like

        def numpy(product: Callable[[Tensor], Tensor]) -> Callable[[Any], Any]:
            return lambda array: (
                product(torch.as_tensor(array).to(like)).detach().cpu().numpy()
            )

        push, pull = numpy(self.__matmul__), numpy(self.pull)
        dtype = torch.empty(0, dtype=like.dtype).numpy().dtype
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
        """Transpose an operator."""
        self.T = operator
        self.shape = (operator.shape[1], operator.shape[0])

    def __matmul__(self, cotangents: Tensor) -> Tensor:
        """Multiply with a vector `(M,)` or with several, `(M, m)`."""
        return self.T.pull(cotangents)


def operator(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    create_graph: bool = False,
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    timed: bool = True,
    randomness: Randomness = "error",
    quantity: Literal["jacobian", "hessian"] = "jacobian",
) -> JacobianOperator:
    """Return the Jacobian, or the Hessian, as a linear operator that never forms it.

    For parameters of modules it keeps each layer's inputs and the cotangents of its
    outputs, from one forward and one batched backward pass, so that products, norms
    and the Gram matrix take neither autograd nor J. Where there is no such structure,
    products are pushed and pulled through the function by the strategies that are
    fastest. Either is verified by a random projection against plain reverse mode.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        create_graph: Whether products can be differentiated.
        strategies: What may be used; all by default.
        exclude: Names to leave out; `("quasi_linear",)` looks for no layers.
        timed: Whether the strategies that push and pull are chosen by measurement.
        randomness: As in `auto`.
        quantity: `"hessian"` for the Jacobian of the gradient, whose products are
            Hessian-vector products.

    Returns:
        The operator, of J at these arguments.

    Raises:
        ArgumentError: There is no operator of such a quantity.
        NoStrategyError: No strategy pushes, or none pulls.
        JacengineError: As `auto`.

    Example:
        >>> import torch, jacengine
        >>> model, x = torch.nn.Linear(3, 2), torch.randn(5, 3)
        >>> op = jacengine.operator(model, x, wrt="params", batch_dim=0)
        >>> op.gram().shape  # 5 samples of 2 outputs
        torch.Size([10, 10])
    """
    if quantity not in {"jacobian", "hessian"}:
        raise ArgumentError(
            f"quantity={quantity!r}: an operator is of a 'jacobian' or a 'hessian'."
        )
    options = Options(
        wrt, batch_dim, create_graph, randomness=randomness, quantity=quantity
    )
    given = kwargs or {}
    problem = analyze(fn, args, given, options)
    bound = problem.bind(args, given)
    reference = Reference.of(problem, bound)
    signature = Signature.of(fn, args, given, problem.layout.names)
    candidates = known_strategies().choose(strategies, exclude, quantity)
    for strategy in candidates:
        if isinstance(strategy, Contraction) and strategy.check(problem) is None:
            make = layered(problem, bound, strategy)
            if make is not None and pulls_right(make(bound), problem, reference):
                recipe = Recipe(problem, signature, make, "by layers")
                return JacobianOperator(recipe, bound)
    push, pull = paired(problem, bound, reference, candidates, timed=timed)

    def free(bound: BoundFunction) -> Backend:
        pushing = Linearization(problem, bound, push)
        return MatrixFree(problem, pushing, Linearization(problem, bound, pull))

    method = f"pushed by {push.name}, pulled by {pull.name}"
    return JacobianOperator(Recipe(problem, signature, free, method), bound)


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
