"""Truncated Taylor propagation: the forward Laplacian.

    s[y] = sum_k d^2/de^2 f(x + e v_k) at e = 0

This is the Laplacian where the directions v_k are a basis. The pass runs the function
once, on jets as in `jax.experimental.jet` (`jacengine.program.taylor.jet`), with one
second-order coefficient for all directions where nested forward mode propagates one for
each. Cost: K tangents through every operator, and a primal and a coefficient as cheap
as one more each; no graph is kept, and no tensor of an earlier operator.

What is not supported raises. Custom autograd functions are recognised by the call
stack, where their `forward` calls torch in Python; one that only returns its tensors or
calls compiled code reaches the dispatcher, which raises too.

Sources: Li et al. 2024, "A computational framework for neural network-based variational
Monte Carlo with Forward Laplacian", https://arxiv.org/abs/2307.08214; Dangel et al.
2025, "Collapsing Taylor mode automatic differentiation",
https://arxiv.org/abs/2505.13644.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jacengine._torchfunc import Function, Tensors
from jacengine.program.taylor.fallback import fallback
from jacengine.program.taylor.jet import (
    Dispatch,
    Jet,
    TaylorRule,
    primals_of,
    second_order_of,
    unexpand,
)
from jacengine.program.taylor.rules import decomposed, primitives
from jacengine.program.taylor.unsupported import refuse, refuse_custom_functions


def propagate(
    function: Function, primals: Tensors, tangents: Tensors
) -> tuple[Tensor, ...]:
    """Return sums of second directional derivatives, from one pass of the function.

    Differentiable by autograd where a primal requires gradients and grad mode is on;
    else nothing is recorded.

    Args:
        function: Takes the primals, returns a tuple of tensors.
        primals: Where to differentiate.
        tangents: The K directions, `(K, *shape)` of each primal; axes along which all
            entries are one in memory are not multiplied.

    Returns:
        `s[i] = sum_k d^2/de^2 f_i(primals + e v_k)`, of each output's shape and dtype.

    Raises:
        UnsupportedError: The function does what second-order coefficients cannot
            follow: the message names it.

    Examples:
        The Laplacian of a quartic, of two samples:

        >>> x = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
        >>> basis = torch.eye(2)[:, None].expand(2, 2, 2)
        >>> propagate(lambda x: ((x**4).sum(1),), (x,), (basis,))
        (tensor([60., 12.]),)
    """
    recorded = torch.is_grad_enabled() and any(p.requires_grad for p in primals)
    dispatch = _dispatch(recorded)
    jets = tuple(
        Jet(primal, unexpand(tangent), None, dispatch)
        for primal, tangent in zip(primals, tangents, strict=True)
    )
    return tuple(map(second_order_of, _run(function, jets)))


def _run(function: Function, jets: tuple[Jet, ...]) -> Tensors:
    """Call the function in grad mode, so that a `no_grad` inside of it is noticed."""
    with torch.enable_grad():
        return function(*jets)


def _dispatch(recorded: bool) -> Dispatch:
    """Return the dispatch of one pass."""
    rules, decompositions = primitives(), decomposed()

    def dispatch(
        function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        refuse_custom_functions(_run.__code__)
        if not torch.is_grad_enabled():
            refuse(function, kwargs)
            return function(*primals_of(args), **primals_of(kwargs))
        if kwargs:
            args, kwargs = _canonical(function, args, kwargs)
        found = _apply(decompositions.get(function), args, kwargs)
        if found is not NotImplemented:
            return found
        with torch.set_grad_enabled(recorded):
            found = _apply(rules.get(function), args, kwargs)
            if found is not NotImplemented:
                return found
            refuse(function, kwargs)
            return fallback(function, args, kwargs)

    return dispatch


def _apply(rule: TaylorRule | None, args: tuple[Any, ...], kwargs: Any) -> Any:
    """Apply a rule, if there is one and it supports all arguments."""
    if rule is None:
        return NotImplemented
    try:
        return rule(*args, **kwargs)
    except TypeError:
        # Not the rule's signature: the function itself checks its arguments.
        return NotImplemented


_CANONICAL_NAMES = {"axis": "dim", "keepdims": "keepdim"}


def _canonical(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments under their canonical names, without switches that are off."""
    if kwargs.get("inplace") or kwargs.get("out") is not None:
        refuse(function, kwargs)
    named = {
        _CANONICAL_NAMES.get(name, name): value
        for name, value in kwargs.items()
        if name not in ("inplace", "out")
    }
    if not args and "input" in named:
        args = (named.pop("input"),)
    return args, named
