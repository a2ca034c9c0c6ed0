"""Writing a call of a complex function as one of a real function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from jacengine import pytrees
from jacengine.errors import ArgumentError, InputTypeError
from jacengine.patterns.pattern import Pattern
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import (
    argument_labels,
    chosen_arguments,
    parameters_of,
)
from jacengine.problem.problem import SPARSE, ComplexOption, Options
from jacengine.problem.real_view import (
    RealFunction,
    RealModule,
    RealView,
    is_complex,
)

KEYWORD = -1
"""The owner of keyword arguments' leaves."""


class RealCall(NamedTuple):
    """A call of a real function."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: Options


def real_call(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Options,
) -> RealCall:
    """Write a call as one of a real function, as `options.complex` says.

    Raises:
        ArgumentError: An option does not go with `complex`.
        InputTypeError: A complex tensor is not dense, or there is none to
            differentiate.
    """
    if options.complex is None:
        return RealCall(fn, args, kwargs, options)
    _check_options(options)
    stated = options
    per_argument = [pytrees.flatten(argument)[0] for argument in args]
    leaves = pytrees.flatten_call(args, kwargs)[0]
    places = [place for place, leaf in enumerate(leaves) if is_complex(leaf)]
    labels = argument_labels(args, kwargs) if places else []
    for place in places:
        if leaves[place].layout != torch.strided:
            raise InputTypeError(
                f"{labels[place]} has layout {leaves[place].layout}; expected a dense "
                "tensor."
            )
    by_parameters = options.wrt == "params" or isinstance(options.wrt, list)
    owners: tuple[int, ...] = ()
    if options.complex == "holomorphic" and not by_parameters:
        chosen = chosen_arguments(options.wrt, per_argument)
        owners = tuple(i for i in chosen if any(map(is_complex, per_argument[i])))
        bare = isinstance(options.wrt, int) or len(chosen) == 1
        bare = bare and not isinstance(options.wrt, tuple)
        options = replace(options, wrt=chosen[0] if bare else chosen)
    owner_of = [i for i, inner in enumerate(per_argument) for _ in inner]
    owner_of += [KEYWORD] * (len(leaves) - len(owner_of))
    viewed = [place for place in places if owner_of[place] not in owners]
    if options.batch_dim is not None:
        for place in viewed:
            _refuse_lost_axis(leaves, labels, owner_of, place)
        dims = _batch_dim(options.batch_dim, per_argument, owners)
        options = replace(options, batch_dim=dims)
    view = RealView(
        options.complex == "holomorphic",
        options.has_aux,
        len(args),
        sum(map(len, per_argument)),
        tuple(viewed),
        tuple(place for place in places if owner_of[place] in owners),
        owners,
        stated.wrt,
        stated.batch_dim,
    )
    real_args, real_kwargs = view.to_real(args, kwargs)
    if not callable(fn) or (by_parameters and _is_uninitialized(fn)):
        return RealCall(fn, real_args, real_kwargs, options)  # refused by the engine
    if not by_parameters:
        return RealCall(RealFunction(fn, view), real_args, real_kwargs, options)
    nesting = parameters_of(fn, options.wrt)[2]
    names = list(nesting.unflatten(range(nesting.count)))
    assert isinstance(fn, nn.Module)
    options = replace(options, wrt=names)
    return RealCall(RealModule(fn, view, names), real_args, real_kwargs, options)


def _check_options(options: Options) -> None:
    """Refuse options that do not go with `complex`.

    Raises:
        ArgumentError: There is one.
    """
    if options.complex not in get_args(get_args(ComplexOption)[0]):
        raise ArgumentError(
            f"complex={options.complex!r}: expected None, 'as_real' or 'holomorphic'."
        )
    if options.with_value:
        raise ArgumentError(
            f"with_value=True does not go with complex={options.complex!r}, whose "
            "function is written as one of real numbers; leave it out, and call the "
            "function."
        )
    if options.complex == "as_real":
        return
    advice = "pass complex='as_real', or leave it out"
    if options.layout in SPARSE:
        raise ArgumentError(
            f"layout={options.layout!r} is of real numbers, and complex='holomorphic' "
            f"gives complex ones; {advice}."
        )
    if options.rows is not None:
        raise ArgumentError(
            "rows= chooses real output entries, which complex='holomorphic' does not "
            f"have; {advice} and choose entries inside the function."
        )
    if isinstance(options.sparsity, Pattern):
        raise ArgumentError(
            "sparsity= is a pattern of real entries, which complex='holomorphic' does "
            f"not have; {advice}."
        )


def _refuse_lost_axis(
    leaves: Sequence[Any],
    labels: Sequence[str],
    owner_of: Sequence[int],
    place: int,
) -> None:
    """Refuse a complex number among tensors with samples: its pair has an axis too.

    Raises:
        ArgumentError: The leaf at this place is one.
    """
    owner = owner_of[place]
    beside = [
        leaf
        for leaf, other in zip(leaves, owner_of, strict=True)
        if other == owner and isinstance(leaf, Tensor) and leaf.dim() > 0
    ]
    if leaves[place].dim() == 0 and (beside or owner == KEYWORD):
        raise ArgumentError(
            f"{labels[place]} is a complex tensor without axes, and batch_dim= says "
            "that its argument has samples. Pass it as a positional argument of its "
            "own."
        )


def _batch_dim(
    batch_dim: BatchDim, per_argument: Sequence[Sequence[Any]], owners: Sequence[int]
) -> BatchDim:
    """Say where samples are in the real arguments, counted from the front.

    Raises:
        ArgumentError: An axis is counted from the end, of tensors of several ranks.
    """
    if isinstance(batch_dim, tuple) and len(batch_dim) == len(per_argument):
        dims: list[int | None] = list(batch_dim)
    elif batch_dim == 0 and not isinstance(batch_dim, bool):
        dims = [0] * len(per_argument)
    else:
        return batch_dim  # refused by the engine
    for i, inner in enumerate(per_argument):
        dim, ranks = dims[i], {leaf.dim() for leaf in inner if isinstance(leaf, Tensor)}
        if not any(map(is_complex, inner)) or not isinstance(dim, int):
            continue
        if ranks == {0}:
            dims[i] = None
        elif dim < 0 and len(ranks) > 1:
            raise ArgumentError(
                f"batch_dim={batch_dim!r}: axis {dim} of args[{i}], whose tensors have "
                "several ranks and some of which are complex. Count it from the front."
            )
        elif -max(ranks) <= dim < 0:
            dims[i] = dim % max(ranks)
    return (*dims, *(dims[owner] for owner in owners))


def _is_uninitialized(fn: object) -> bool:
    if not isinstance(fn, nn.Module):
        return False
    return any(isinstance(p, nn.UninitializedParameter) for p in fn.parameters())
