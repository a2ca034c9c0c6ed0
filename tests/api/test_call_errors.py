"""Calls that have no answer: one typed error, before any method is tried.

Each says what was got, what was expected, and what to do.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import (
    ArgumentError,
    InputTypeError,
    MutatedInputError,
    OutputTypeError,
    UnknownStrategyError,
    UnsupportedError,
)
from tests.problems import randn
from tests.refusals import jacobian, plan, refused

X = randn(4, 3)
"""An input for every call here."""


class Attributes(dict[str, Any]):
    """A mapping that nobody has registered."""


@pytest.mark.parametrize("ask", [jacobian, plan])
@pytest.mark.parametrize(
    ("x", "got", "advice"),
    [
        (torch.ones(3, dtype=torch.complex64), "complex64", "complex='as_real'"),
        (torch.arange(3), "int64", r"Convert it with \.to\(torch.float32\)"),
        (torch.ones(3, dtype=torch.bool), "torch.bool", "expected a floating-point"),
        ([], "an empty container", "expected a floating-point"),
        (torch.arange(3), "int64", "token ids, differentiate by the embeddings"),
        (1.5, "got a float", r"Convert it with torch\.tensor"),
        ([1, 2.5], "got an int, a float", r"Convert it with torch\.tensor"),
        (np.zeros(3), "got a NumPy array", r"Convert it with torch\.from_numpy"),
        (Attributes(a=X), "got an Attributes", r"pass dict\(\.\.\.\) of it"),
        (None, "got None", "name it with wrt="),
        (torch.ones(3, device="meta"), "meta device", "Move it to a real device"),
    ],
)
def test_input_without_derivative(
    ask: Callable[..., Any], x: object, got: str, advice: str
) -> None:
    refused(lambda: ask(lambda _: X, x), InputTypeError, TypeError, got, advice)


@pytest.mark.parametrize("sparse", [Tensor.to_sparse, Tensor.to_sparse_csr])
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_input(sparse: Callable[[Tensor], Tensor]) -> None:
    refused(
        lambda: jacobian(lambda x: x * 2, sparse(X)),
        InputTypeError,
        TypeError,
        "torch.sparse",
        "expected a dense tensor",
        "rebuild the sparse tensor inside",
    )


def test_complex_side_input() -> None:
    z = torch.ones(3, dtype=torch.complex64)
    refused(
        lambda: jacobian(lambda x, _: x, X, z), InputTypeError, TypeError, r"args\[1\]"
    )


def test_complex_parameter() -> None:
    model = nn.Linear(3, 2, dtype=torch.complex64)
    refused(
        lambda: jacobian(model, X, wrt="params"),
        InputTypeError,
        TypeError,
        "'weight' is complex",
        "complex='as_real'",
    )


@pytest.mark.parametrize("ask", [jacobian, plan])
@pytest.mark.parametrize(
    ("returned", "got", "advice"),
    [
        (torch.ones(3, dtype=torch.complex64), "complex64", "complex='as_real'"),
        (torch.arange(3), "int64", "has_aux=True"),
        (torch.ones(3, dtype=torch.bool), "torch.bool", "has_aux=True"),
        (None, "returned None", "has_aux=True"),
        ("text", "a str", "expected tensors"),
        (Attributes(a=X), "an Attributes", "register_pytree_node"),
        (1.5, "a float", "expected tensors"),
        ({"a": X, "b": None}, "returned None", "expected tensors"),
        ([], "no tensor", "empty container"),
        (X.to_sparse(), "torch.sparse_coo", r"Return out\.to_dense\(\)"),
    ],
)
def test_output_without_derivative(
    ask: Callable[..., Any], returned: object, got: str, advice: str
) -> None:
    refused(lambda: ask(lambda _: returned, X), OutputTypeError, TypeError, got, advice)


@pytest.mark.parametrize("returned", [X, (X, X, X), [X, X]])
def test_aux_without_pair(returned: object) -> None:
    refused(
        lambda: jacobian(lambda _: returned, X, has_aux=True),
        OutputTypeError,
        TypeError,
        r"expects the function to return \(out, aux\)",
        f"got an? {type(returned).__name__}",
    )


@pytest.mark.parametrize(
    "ask",
    [
        lambda name: jacobian(torch.sin, X, strategy=name),
        lambda name: plan(torch.sin, X, strategies=[name]),
        lambda name: plan(torch.sin, X, exclude=[name]),
    ],
    ids=["strategy", "strategies", "exclude"],
)
def test_unknown_strategy(ask: Callable[[str], object]) -> None:
    said = ("Unknown strategy 'vmap_vpj'", "Did you mean 'vmap_vjp'", "reverse_loop")
    refused(lambda: ask("vmap_vpj"), UnknownStrategyError, LookupError, *said)


def test_strategies_are_lists_that_leave_something() -> None:
    refused(
        lambda: plan(torch.sin, X, strategies="vmap_vjp"),
        ArgumentError,
        ValueError,
        "take lists of names",
    )
    refused(
        lambda: plan(torch.sin, X, exclude=jacengine.list_strategies()),
        ArgumentError,
        ValueError,
        "leave no strategy",
    )


def test_strategy_of_another_type() -> None:
    with pytest.raises(ArgumentError, match="42"):
        jacobian(torch.sin, X, strategy=42)


@pytest.mark.parametrize("effort", ["quik", None, 1])
def test_unknown_effort(effort: object) -> None:
    said = (f"effort={effort!r}", "expected one of 'none', 'quick', 'thorough'")
    refused(lambda: plan(torch.sin, X, effort=effort), ArgumentError, ValueError, *said)


@pytest.mark.parametrize(
    ("fn", "got"), [(None, "None"), (3, "an int"), ("sin", "a str"), (X, "a Tensor")]
)
def test_function_that_is_none(fn: object, got: str) -> None:
    said = ("Expected a function or an nn.Module", f"got {got}")
    refused(lambda: jacobian(fn, X), ArgumentError, ValueError, *said)


@pytest.mark.parametrize("chunk_size", [0, -1, 1.5, True, "2"])
def test_chunk_size_that_is_no_count(chunk_size: object) -> None:
    refused(
        lambda: jacobian(torch.sin, X, chunk_size=chunk_size),
        ArgumentError,
        ValueError,
        re.escape(f"chunk_size={chunk_size!r}"),
        "expected a positive number of directions",
        "None for all",
    )


def test_chunk_size_that_is_no_count_with_auto() -> None:
    with pytest.raises(ArgumentError, match="chunk_size=0"):
        jacengine.jacobian(torch.sin, X, chunk_size=0)


@pytest.mark.parametrize("module", [nn.LazyLinear(2), nn.Sequential(nn.LazyLinear(2))])
def test_lazy_module(module: nn.Module) -> None:
    said = (
        "weight' of",
        "not initialised",
        r"Call the module (once )?on a typical input",
    )
    refused(lambda: jacobian(module, X), InputTypeError, TypeError, *said)
    function = module.forward
    refused(lambda: plan(function, X), InputTypeError, TypeError, *said)


def test_module_made_under_inference_mode() -> None:
    with torch.inference_mode():
        module = nn.Linear(3, 2, dtype=torch.float64)
    said = ("'weight' of Linear", r"under torch\.inference_mode\(\)", "outside of it")
    refused(lambda: jacobian(module, X), InputTypeError, TypeError, *said)


def test_function_that_changes_its_argument() -> None:
    x, side, index = X.clone(), X.clone(), torch.arange(3)
    said = ("in place", "Clone it inside the function")
    changing: dict[str, Callable[..., Tensor]] = {
        r"args\[0\]": lambda x, *_: x.mul_(2).sin(),
        r"args\[1\]": lambda x, side, _: x * side.add_(1),
        r"args\[2\]": lambda x, _, index: x * index.add_(1),
    }
    for label, fn in changing.items():
        call = functools.partial(jacobian, fn, x, side, index)
        refused(call, MutatedInputError, ValueError, label, *said)
    assert torch.equal(x, X)
    assert torch.equal(side, X)
    assert torch.equal(index, torch.arange(3))


def test_function_that_changes_its_argument_unseen() -> None:
    x = X.clone()
    with pytest.raises(MutatedInputError, match="in place"):
        jacobian(lambda x: x.data.mul_(2) * x, x)


def test_error_of_the_function_itself_comes_through() -> None:
    def broken(_: Tensor) -> Tensor:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        jacobian(broken, X)
    with pytest.raises(ZeroDivisionError, match="mine"):
        plan(broken, X)


def test_strategy_that_declines() -> None:
    refused(
        lambda: jacobian(torch.sin, X, strategy="quasi_linear"),
        UnsupportedError,
        RuntimeError,
        "quasi_linear cannot compute this Jacobian",
        "parameters of modules, not inputs",
        "Try strategy='auto'",
    )


@pytest.mark.parametrize("wrt", ["params", ["weight"]])
def test_parameters_of_what_is_no_module(wrt: Any) -> None:
    refused(
        lambda: jacobian(lambda x: x, X, wrt=wrt),
        ArgumentError,
        ValueError,
        "fn is a function. Pass the module itself",
    )


def test_indices_alone_are_no_inputs() -> None:
    refused(
        lambda: jacobian(lambda x: x, torch.arange(3), wrt="inputs"),
        InputTypeError,
        TypeError,
        "there are none among the 1 given",
        "differentiate by the embeddings",
    )


@pytest.mark.parametrize("layout", ["dict", "values"])
def test_an_array_is_no_preallocated_result(layout: Any) -> None:
    refused(
        lambda: jacengine.auto(torch.sin, X[0], out=np.zeros(9), layout=layout),
        ArgumentError,
        ValueError,
        "a NumPy array",
        r"Convert it with torch\.from_numpy",
    )
