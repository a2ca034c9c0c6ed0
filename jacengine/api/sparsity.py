"""`sparsity`: where a Jacobian or a Hessian may be other than zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from jacengine.api.strategies import plan_request
from jacengine.patterns.pattern import Pattern
from jacengine.plans.analysis import analyze_request
from jacengine.plans.sparse import with_pattern
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Options


def sparsity(
    fn: Callable[..., Any],
    *args: Any,
    kwargs: Mapping[str, Any] | None = None,
    wrt: Wrt = 0,
    batch_dim: BatchDim = None,
    has_aux: bool = False,
    quantity: Literal["jacobian", "hessian"] = "jacobian",
) -> Pattern:
    """Find the sparsity pattern of a Jacobian or a Hessian.

    It is read from the function as a program, and holds at all points then; what the
    function reads besides (indices, the zeros of a constant matrix) counts as it is
    now. Where there is no program it is found by products with random seeds at the
    arguments and at two points near them, and may not hold elsewhere.

    Args:
        fn: A function or `nn.Module`.
        args: Its positional arguments, pytrees of tensors.
        kwargs: Its keyword arguments.
        wrt: What to differentiate; as in `auto`.
        batch_dim: As in `auto`; the pattern is that of one sample.
        has_aux: Whether `fn` returns `(out, aux)`.
        quantity: `"jacobian"` or `"hessian"`.

    Returns:
        The pattern of the matrix of all outputs by all inputs, each flattened.
        `pattern.origin` says how it was found.

    Raises:
        UnsupportedError: The matrix is dense, and too large for a pattern; or the
            function draws random numbers, changes state, or couples samples.
        JacengineError: As `auto`.

    Source:
        A. Hill, G. Dalle, 2024, https://arxiv.org/abs/2501.17737 .

    Examples:
        >>> import torch, jacengine
        >>> x = torch.linspace(0.0, 1.0, 100)
        >>> pattern = jacengine.sparsity(lambda x: (x[1:] - x[:-1]) ** 2, x)
        >>> pattern.shape, pattern.nnz, pattern.colors
        ((99, 100), 198, 2)
    """
    options = Options(
        wrt, batch_dim, has_aux=has_aux, quantity=quantity, sparsity="detect"
    )
    request = plan_request(fn, args, kwargs, options)
    found = with_pattern(analyze_request(request), request).pattern
    assert found is not None  # `"detect"` returns one, or raises
    return found
