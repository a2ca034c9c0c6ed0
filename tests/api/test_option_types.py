"""The options that overloads name are those of the functions, with the same types."""

import inspect
from collections.abc import Callable
from typing import Any, ForwardRef

import pytest

import jacengine
from jacengine.api import option_types

ALL: list[tuple[Callable[..., Any], type, set[str]]] = [
    (jacengine.auto, option_types.AllAutoOptions, {"wrt"}),
    (jacengine.jacobian, option_types.AllJacobianOptions, {"wrt"}),
    (jacengine.value_and_jacobian, option_types.AllValueOptions, {"wrt"}),
    (jacengine.plan, option_types.AllPlanOptions, {"wrt"}),
    (jacengine.blocks, option_types.AllBlocksOptions, {"wrt"}),
    (jacengine.hessian, option_types.AllHessianOptions, {"wrt"}),
    (jacengine.hessian_diagonal, option_types.AllHessianDiagonalOptions, {"wrt"}),
    (jacengine.laplacian, option_types.AllLaplacianOptions, {"wrt"}),
    (jacengine.hvp, option_types.HvpOptions, {"wrt", "vector"}),
    (jacengine.diagonal, option_types.AllDiagonalOptions, {"wrt"}),
    (jacengine.divergence, option_types.AllDiagonalOptions, {"wrt"}),
]


@pytest.mark.parametrize(("function", "options", "beside"), ALL)
def test_they_are_those_of_the_signature(
    function: Callable[..., Any], options: type, beside: set[str]
) -> None:
    signature = {
        name: parameter.annotation
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in beside
    }
    named: dict[str, str] = {}
    for name, annotation in options.__annotations__.items():
        assert isinstance(annotation, ForwardRef)
        named[name] = annotation.__forward_arg__
    assert named == signature
