"""`operator`: the Jacobian, or the Hessian, as a linear operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from jacengine.api.mesh import TIMEOUT_S, sharding_of
from jacengine.api.strategies import plan_request
from jacengine.errors import ArgumentError, unknown_choice
from jacengine.linear_operators.jacobian_operator import JacobianOperator, make_operator
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Options, Randomness

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from jacengine.distributed.sharded_operator import ShardedOperator


@overload
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
    complex: Literal["as_real"] | None = None,
    mesh: None = None,
    gather: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> JacobianOperator: ...


@overload
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
    mesh: DeviceMesh,
    gather: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> ShardedOperator: ...


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
    complex: Literal["as_real"] | None = None,
    mesh: DeviceMesh | None = None,
    gather: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> JacobianOperator | ShardedOperator:
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
        complex: `"as_real"` views complex tensors as pairs of real numbers, as in
            `auto`: rows and columns are the entries of `torch.view_as_real`.
        mesh: As in `auto`: each rank has the operator of its samples.
        gather: Whether all ranks get whole results, instead of a `DTensor`.
        timeout_s: As in `auto`.

    Returns:
        The operator, of J at these arguments; over a mesh a `ShardedOperator`.

    Raises:
        ArgumentError: There is no operator of such a quantity, or of complex numbers.
        NoStrategyError: No strategy pushes, or none pulls.
        JacengineError: As `auto`.

    Examples:
        >>> import torch, jacengine
        >>> model, x = torch.nn.Linear(3, 2), torch.randn(5, 3)
        >>> op = jacengine.operator(model, x, wrt="params", batch_dim=0)
        >>> op.gram().shape  # 5 samples of 2 outputs
        torch.Size([10, 10])
    """
    known = ("jacobian", "hessian")
    if quantity not in known:
        raise ArgumentError(unknown_choice("quantity", quantity, known))
    if complex not in {None, "as_real"}:
        raise ArgumentError(
            f"complex={complex!r}: an operator is of real numbers; pass 'as_real', or "
            "compute a complex Jacobian with jacengine.auto(...)."
        )
    options = Options(
        wrt,
        batch_dim,
        create_graph,
        randomness=randomness,
        quantity=quantity,
        complex=complex,
    )
    request = plan_request(
        fn, args, kwargs, options, strategies=strategies, exclude=exclude
    )
    sharding = sharding_of(
        mesh,
        "auto" if mesh is None else "samples",
        gather=gather,
        timeout_s=timeout_s,
    )
    if sharding is None:
        return make_operator(request, timed=timed)
    from jacengine.distributed.sharded_operator import (  # noqa: PLC0415 - slow
        sharded_operator,
    )

    return sharded_operator(request, sharding, timed=timed)
