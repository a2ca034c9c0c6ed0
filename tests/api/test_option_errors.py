"""Options that do not fit the call: what was got, expected, and to be done."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError, InputTypeError, OutputTypeError
from tests.problems import randn
from tests.refusals import jacobian, plan, refused

X = randn(4, 3)
"""An input for every call here; the Jacobian of a sine has the shape (4, 3, 4, 3)."""

MODEL = nn.Linear(3, 2, dtype=torch.float64)


def refuse(*said: str, fn: Any = torch.sin, args: Any = (X,), **options: Any) -> None:
    refused(lambda: jacobian(fn, *args, **options), ArgumentError, ValueError, *said)


@pytest.mark.parametrize(
    ("wrt", "said"),
    [
        (1, r"wrt=1: the call has 1 positional argument.*between -1 and 0"),
        (-2, r"wrt=-2: the call has 1 positional argument.*between -1 and 0"),
        ((0, 5), r"wrt=\(0, 5\): the call has 1 positional argument"),
        ((0, 0), "names an argument twice"),
        ((0, -1), "names an argument twice"),
        ((), "names nothing to differentiate"),
        (True, r"expected argument indices \(int\), got a bool"),
        ((0, True), r"expected argument indices \(int\), got a bool"),
        (1.0, r"expected argument indices \(int\), got a float"),
        (None, r"expected argument indices \(int\), got None"),
        ("parms", r'"inputs", "params".*Did you mean \'params\''),
        ("input", r'"inputs", "params".*Did you mean \'inputs\''),
        ("params", "fn is a function.*Pass the module itself"),
        (["weight"], "fn is a function.*Pass the module itself"),
    ],
)
def test_wrt(wrt: object, said: str) -> None:
    refuse(said, wrt=wrt)


@pytest.mark.parametrize(
    ("wrt", "said"),
    [
        (["wieght"], r"the parameter 'wieght'.*Did you mean 'weight'.*bias, weight"),
        (["bias", 0], r"the parameter 0, which the module does not have"),
    ],
)
def test_wrt_names_of_parameters(wrt: object, said: str) -> None:
    refuse(said, fn=MODEL, wrt=wrt)


def test_wrt_of_nothing() -> None:
    frozen = nn.Linear(3, 2, dtype=torch.float64).requires_grad_(requires_grad=False)
    advice = "name them in a list"
    refused(
        lambda: jacobian(frozen, X, wrt="params"),
        InputTypeError,
        TypeError,
        "no parameter to differentiate",
        advice,
    )
    refused(
        lambda: jacobian(MODEL, torch.arange(3), wrt="inputs"),
        InputTypeError,
        TypeError,
        "all floating-point positional arguments",
        "none among the 1 given",
    )


@pytest.mark.parametrize(
    ("batch_dim", "said"),
    [
        (1, "expected None, 0, or a tuple with one axis"),
        (-1, "expected None, 0, or a tuple with one axis"),
        (True, "expected None, 0, or a tuple with one axis"),
        ("0", "expected None, 0, or a tuple with one axis"),
        ([0], "expected None, 0, or a tuple with one axis"),
        ((), "0 entries for 1 positional arguments; give one an argument"),
        ((0, 0), "2 entries for 1 positional arguments; give one an argument"),
        ((2,), r"axis 2 does not exist in a tensor of shape \(4, 3\)"),
        ((-3,), r"axis -3 does not exist in a tensor of shape \(4, 3\)"),
        ((True,), "expected int or None entries, got a bool"),
        (("0",), "expected int or None entries, got a str"),
        ((None,), "no argument is a tensor with an axis of samples"),
    ],
)
def test_batch_dim(batch_dim: object, said: str) -> None:
    refuse(f"batch_dim.*{said}", batch_dim=batch_dim)


def test_batch_dim_without_an_axis() -> None:
    said = "no argument is a tensor with an axis of samples"
    refuse(said, args=(torch.tensor(1.0),), batch_dim=0)


def test_numbers_of_samples_that_disagree() -> None:
    said = (
        r"disagree on the number of samples \(args\[0\]: 4, .*: 5\)",
        r"batch_dim=\(0, None\)",
    )

    def first(x: Tensor, y: Tensor) -> Tensor:
        return x * y.sum()

    refuse(*said, fn=first, args=(X, randn(5)), batch_dim=0)
    refuse(r"kwargs\['y'\]: 5", fn=first, kwargs={"y": randn(5)}, batch_dim=0)


@pytest.mark.parametrize("fn", [torch.sum, torch.t, lambda x: {"a": x, "b": x[0]}])
def test_outputs_without_the_samples(fn: Any) -> None:
    said = ("for 4 samples", "one has shape", "Return one output a sample")
    refuse(*said, fn=fn, batch_dim=0)


@pytest.mark.parametrize("option", ["rows", "columns"])
@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (torch.tensor([0, 12]), "index 12 is out of range for 12 entries"),
        (torch.tensor([-13]), "index -13 is out of range for 12 entries"),
        (torch.tensor([0.0]), "expected .* integer .*got torch.float32"),
        (torch.tensor([True]), r"expected .*got torch.bool.*mask\.nonzero\(\)"),
        (torch.tensor([[0]]), r"expected a 1-D tensor, got shape \(1, 1\)"),
        (torch.tensor(0), r"expected a 1-D tensor, got shape \(\)"),
        ([0], "expected a slice or a 1-D integer tensor of indices, got .*list"),
        (0, "expected a slice or a 1-D integer tensor of indices, got .*int"),
    ],
)
def test_rows_and_columns(option: str, chosen: object, said: str) -> None:
    refuse(f"{option}: {said}", **{option: chosen})


@pytest.mark.parametrize("option", ["rows", "columns"])
def test_rows_and_columns_count_in_one_sample(option: str) -> None:
    said = f"{option}: index 3 is out of range for 3 entries"
    refuse(said, **{option: torch.tensor([3])}, batch_dim=0)


@pytest.mark.parametrize("chosen", [slice("a"), slice(None, None, 0)])
def test_slices_that_select_nothing_known(chosen: Any) -> None:
    refuse("rows=slice", rows=chosen)


def test_slice_with_a_negative_step() -> None:
    x = randn(3)
    J = jacobian(torch.sin, x, rows=slice(None, None, -1))
    assert torch.equal(J, x.cos().diag().flip(0))


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (torch.empty(4, 3, 4, 2).double(), r"out= has shape \(4, 3, 4, 2\).*4, 3\)"),
        (torch.empty(4, 3, 4, 3), "torch.float32, but the result .*torch.float64"),
        (torch.empty(3, 4, 4, 3).double().transpose(0, 1), "is not contiguous; pass"),
        (torch.empty(()).double().expand(4, 3, 4, 3), "is not contiguous; pass"),
        ([torch.empty(4, 3, 4, 3).double()], "out= nests as .*list.*result nests as"),
        ("J", "out= holds a str, not a tensor"),
    ],
)
def test_out(out: object, said: str) -> None:
    refuse(said, out=out)
    made = plan(torch.sin, X)
    with pytest.raises(ArgumentError, match=said):
        made(X, out=out)


def test_out_on_another_device() -> None:
    made = plan(torch.sin, X)
    out = torch.empty(4, 3, 4, 3, dtype=torch.float64, device="meta")
    with pytest.raises(ArgumentError, match="meta"):
        made(X, out=out)


def test_out_of_a_dict_misses_a_key() -> None:
    out = {"weight": torch.empty(4, 2, 2, 3, dtype=torch.float64)}
    refuse("out= nests as .*weight", fn=MODEL, wrt="params", out=out)


def test_out_with_a_graph() -> None:
    out = torch.empty(4, 3, 4, 3, dtype=torch.float64)
    said = ("create_graph=True cannot record", "Use one or the other")
    refuse(*said, out=out, create_graph=True)


def test_randomness() -> None:
    said = ("randomness='sme'", "expected one of 'error', 'same', 'different'")
    refuse(*said, randomness="sme")


def test_has_aux_of_a_function_without() -> None:
    with pytest.raises(OutputTypeError, match="expected tensors"):
        jacobian(lambda x: (x, "note"), X)


@pytest.mark.parametrize(
    ("option", "wrong", "meant"),
    [
        ("layout", "csrr", "csr"),
        ("wrt", "parms", "params"),
        ("effort", "quik", "quick"),
        ("randomness", "errors", "error"),
        ("sparsity", "detected", "detect"),
        ("compiled", "autos", "auto"),
        ("quantity", "jacobain", "jacobian"),
    ],
)
def test_the_nearest_value_is_offered(option: str, wrong: str, meant: str) -> None:
    options: Any = {option: wrong}
    with pytest.raises(ArgumentError, match=f"Did you mean '{meant}'"):
        jacengine.plan(MODEL, X, **options)


@pytest.mark.parametrize(
    ("call", "option", "wrong", "meant"),
    [
        (jacengine.blocks, "by", "row", "rows"),
        (jacengine.laplacian, "method", "hutchison", "hutchinson"),
        (jacengine.operator, "quantity", "hesian", "hessian"),
        (jacengine.hessian, "triangle", "lover", "lower"),
    ],
)
def test_the_nearest_value_is_offered_by_others(
    call: Any, option: str, wrong: str, meant: str
) -> None:
    with pytest.raises(ArgumentError, match=f"Did you mean '{meant}'"):
        call(MODEL, X, **{option: wrong})
