"""One product with a Hessian."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from jacengine import pytrees
from jacengine.api.builtin_registry import known_strategies
from jacengine.errors import ArgumentError
from jacengine.interface import Pushforward
from jacengine.linear_operators.matrix_free import Linearization
from jacengine.linear_operators.method_pair import fastest
from jacengine.problem.analyze import analyze
from jacengine.problem.batch_dims import BatchDim
from jacengine.problem.call_spec import Wrt
from jacengine.problem.problem import Options, Problem, Randomness
from jacengine.results.result_layout import nest_gradient
from jacengine.selection.reference import Reference


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

    Example:
        >>> import torch, jacengine
        >>> x, v = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])
        >>> jacengine.hvp(lambda x: (x**3).sum(), x, vector=v)
        tensor([ 6., 12.])
    """
    options = Options(
        wrt, batch_dim, create_graph, randomness=randomness, quantity="hessian"
    )
    given = kwargs or {}
    problem = analyze(fn, args, given, options)
    bound = problem.bind(args, given)
    seeds = _seeds(problem, vector)
    pushing = [
        strategy
        for strategy in known_strategies().choose(strategies, exclude, "hessian")
        if isinstance(strategy, Pushforward)
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        reference = Reference.of(problem, bound)
        strategy = fastest(problem, bound, reference, pushing, timed=False)
        products = Linearization(problem, bound, strategy)(seeds)
    return nest_gradient(problem, [product.squeeze(0) for product in products])


def _seeds(problem: Problem, vector: Any) -> tuple[Tensor, ...]:
    """Take a vector apart into one tangent an input, `(1, *in)`.

    Raises:
        ArgumentError: It is not of the inputs' structure or shapes.
    """
    layout = problem.layout
    given, structure = pytrees.flatten(vector)
    if structure.spec != layout.nesting.spec:
        raise ArgumentError(
            f"vector= nests as {structure.spec}, but what is differentiated by nests "
            f"as {layout.nesting.spec}."
        )
    found: dict[int, Tensor] = {}
    for place, entry in zip(layout.places, given, strict=True):
        if place is None:
            continue
        part: object = entry
        leaf = layout.inputs[place]
        samples = () if leaf.batch_dim is None else (problem.sample_count,)
        shape = (*samples, *leaf.shape)
        if isinstance(entry, Tensor) and leaf.batch_dim:
            part = entry.movedim(leaf.batch_dim, 0)
        if not isinstance(part, Tensor) or tuple(part.shape) != shape:
            got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise ArgumentError(
                f"vector= has {got} where {leaf.label} has shape {shape}."
            )
        if place in found and not torch.equal(found[place], part):
            raise ArgumentError(
                f"vector= has different values for {leaf.label}, which has two names."
            )
        found[place] = part
    leaves = enumerate(layout.inputs)
    return tuple(found[i].to(leaf.dtype).unsqueeze(0) for i, leaf in leaves)
