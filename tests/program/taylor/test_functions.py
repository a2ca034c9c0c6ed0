"""Functions of one number, under every name, against reverse over reverse."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jacengine.program.taylor.elementwise import FORMULAS
from tests.program.taylor.reference import check, point

POSITIVE = {"log", "log2", "log10", "sqrt", "rsqrt", "reciprocal", "log1p"}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "clamp": (-0.5, 0.7),
    "clip": (-0.5, 0.7),
    "clamp_min": (0.1,),
    "clamp_max": (0.1,),
}
PLACES = {"torch": torch, "Tensor": Tensor, "F": F, "special": torch.special}
ALIASES = [
    (place, name)
    for names in FORMULAS
    for name in names.split()
    for place, owner in PLACES.items()
    if hasattr(owner, name) and name != "hardsigmoid"
]
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softplus beta": lambda x: F.softplus(3 * x, beta=2, threshold=1.5),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2) ** 2,
    "elu": lambda x: F.elu(x, 1.7),
    # torch rounds 1 / alpha to float32, so that only a power of 2 agrees.
    "celu": lambda x: F.celu(x, 0.5),
    "hardtanh": lambda x: F.hardtanh(x, -0.3, 0.6) * x,
    "clamp min": lambda x: x.clamp(min=0.2) * x,
    "clamp max": lambda x: torch.clamp(x, max=0.2) * x,
    "clamp by a tensor": lambda x: torch.clamp(x, min=x.detach() * 2) * x,
    "clamp by a jet": lambda x: torch.clamp(x, max=x * x - 0.2),
    "pow 2": lambda x: x**2,
    "pow 1": lambda x: x**1 * x,
    "pow 0": lambda x: x**0 * x,
    "pow 3": lambda x: torch.pow(x, 3),
    "pow -2": lambda x: x.pow(-2),
    "pow 1.5": lambda x: (x * x + 0.1) ** 1.5,
    "number pow": lambda x: 2.5**x,
    "negative number pow": lambda x: torch.pow(torch.tensor(1.5).double(), x),
    "jet pow jet": lambda x: (x * x + 0.5) ** x,
    "float_power": lambda x: torch.float_power(x, 3),
    "round decimals": lambda x: torch.round(x, decimals=1) * x,
    "sqrt of square": lambda x: (x * x).sqrt(),
    "relu6": lambda x: F.relu6(4 * x) * x,
    "module": lambda x: torch.nn.Softplus()(torch.nn.Mish()(x)),
    "scalar entries": lambda x: torch.tanh(x[0, 0]).exp() * x.sum(),
    "sigmoid of itself": lambda x: torch.sigmoid(x * torch.sigmoid(x)),
    # These have no rule.
    "xlogy": lambda x: torch.xlogy(x * x, x * x + 1),
    "lgamma": lambda x: torch.lgamma(x * x + 1),
    "sinc": torch.sinc,
    "hardswish": F.hardswish,
    "logaddexp": lambda x: torch.logaddexp(x, x.flip(0) * x),
    "atan2": lambda x: torch.atan2(x, x.roll(1, 0)),
    "maximum": lambda x: torch.maximum(x * x, x),
    "acos": lambda x: torch.acos(0.5 * torch.tanh(x)),
    "erfc": torch.erfc,
    "lerp": lambda x: torch.lerp(x, x * x, 0.3),
    "fmod": lambda x: torch.fmod(x, 0.4) * x,
    "remainder": lambda x: (x % 0.4) * x,
    "nan_to_num": lambda x: torch.nan_to_num(x) * x,
    "logit": lambda x: torch.logit(torch.sigmoid(x) * 0.9),
    "frac": lambda x: torch.frac(x) * x,
    "polygamma": lambda x: torch.special.digamma(x * x + 1),
}


@pytest.mark.parametrize(("place", "name"), ALIASES)
def test_function_under_every_name_matches_reverse_mode(place: str, name: str) -> None:
    function = getattr(PLACES[place], name)
    given = OPTIONS.get(name, ())
    x = point(4, 2)
    if name in POSITIVE:
        x = x.abs() + 0.3
    # Of a product, so that the argument bends; then once more, of what bends already.
    check(lambda z: function(z * z[:, :1] + 0.1 * z.sum(), *given) * z, x)
    check(lambda z: function(z, *given), x)


@pytest.mark.parametrize("name", OTHERS)
def test_function_matches_reverse_mode(name: str) -> None:
    check(OTHERS[name], point(4, 2))
    check(lambda x: OTHERS[name](x * x[:, :1] + 0.05 * x), point(4, 2))
