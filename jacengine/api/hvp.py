"""Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack, overload

from torch import Tensor

from jacengine.api.strategies import plan_request
from jacengine.linear_operators.hvp import multiply_hessian
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import (
    Options,
    Randomness,
)

if TYPE_CHECKING:
    from jacengine.api.function_types import (
        ByName,
        Function,
        Leaf,
        TensorFunction,
        TensorModule,
        Undetermined,
        UntypedFunction,
        UntypedModule,
    )
    from jacengine.api.option_types import (
        HvpOptions,
    )


@overload
def hvp(
    fn: Function,
    *args: Any,
    vector: Any,
    wrt: Undetermined,
    **options: Unpack[HvpOptions],
) -> Any: ...


@overload
def hvp(
    fn: UntypedModule,
    *args: Any,
    vector: Any,
    wrt: Wrt = 0,
    **options: Unpack[HvpOptions],
) -> Any: ...


@overload
def hvp(
    fn: TensorModule,
    *args: Any,
    vector: Any,
    wrt: ByName,
    **options: Unpack[HvpOptions],
) -> dict[str, Tensor]: ...


@overload
def hvp(
    fn: TensorModule,
    *args: Leaf,
    vector: Any,
    wrt: int = 0,
    **options: Unpack[HvpOptions],
) -> Tensor: ...


@overload
def hvp(
    fn: UntypedFunction,
    *args: Any,
    vector: Any,
    wrt: Wrt = 0,
    **options: Unpack[HvpOptions],
) -> Any: ...


@overload
def hvp(
    fn: TensorFunction,
    *args: Leaf,
    vector: Any,
    wrt: int = 0,
    **options: Unpack[HvpOptions],
) -> Tensor: ...


@overload
def hvp(
    fn: TensorFunction,
    *args: Leaf,
    vector: Any,
    wrt: tuple[int, ...],
    **options: Unpack[HvpOptions],
) -> tuple[Tensor, ...]: ...


@overload
def hvp(
    fn: Function, *args: Any, vector: Any, wrt: Wrt = 0, **options: Unpack[HvpOptions]
) -> Any: ...


def hvp(
    fn: Callable[..., Any],
    *args: Any,
    vector: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    create_graph: bool = False,
    strategies: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    randomness: Randomness = "error",
) -> Any:
    """Multiply a Hessian with a vector, without forming it.

    For many products, or one at each of many points, make an
    `operator(..., quantity="hessian")`, which chooses and verifies its method once.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        vector: Nested and shaped as what is differentiated by: as the argument, as a
            tuple of arguments, or for parameters as a dict by name. With `batch_dim`,
            inputs that have samples have a vector for each.
        kwargs: Its keyword arguments.
        wrt: As in `auto`.
        batch_dim: As in `auto`.
        create_graph: Whether the product can be differentiated.
        strategies: Names of `list_strategies("hessian")`; the first of them that
            pushes and is right is taken.
        exclude: Names to leave out.
        randomness: As in `auto`.

    Returns:
        `H v`: for each output `(*out, *in)`, per sample `(B, *out, *in)`, nested as a
        Jacobian; for a function that returns a number that is a vector like `vector`.

    Raises:
        ArgumentError: `vector` is not of the inputs' structure or shapes.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
        >>> jacengine.hvp(lambda x: (x**3).sum(), x, vector=v)
        tensor([ 6., 12.])
    """
    options = Options(
        wrt, batch_dim, create_graph, randomness=randomness, quantity="hessian"
    )
    request = plan_request(
        fn, args, kwargs, options, strategies=strategies, exclude=exclude
    )
    return multiply_hessian(request, vector)
