"""What `complex=` refuses, and in which words."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine import ArgumentError, InputTypeError, OutputTypeError, PlanMismatchError
from tests.refusals import jacobian, plan, refused

Z = torch.tensor([1 + 2j, 3 - 1j])


@pytest.mark.parametrize("ask", [jacobian, plan, jacengine.auto, jacengine.hessian])
def test_no_such_choice(ask: Any) -> None:
    refused(
        lambda: ask(torch.exp, Z, complex="wirtinger"),
        ArgumentError,
        ValueError,
        "complex='wirtinger'",
        "expected None, 'as_real' or 'holomorphic'",
    )


def test_both_choices_are_named() -> None:
    for function, argument in ((torch.exp, Z), (torch.fft.fft, torch.rand(3))):
        with pytest.raises(TypeError, match="complex64") as caught:
            jacengine.auto(function, argument)
        assert "complex='as_real'" in str(caught.value)
        assert "complex='holomorphic'" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layout": "csr"}, "layout='csr'"),
        ({"layout": "values"}, "layout='values'"),
        ({"rows": slice(0, 1)}, "rows="),
        ({"sparsity": torch.eye(2, dtype=torch.bool)}, "sparsity="),
    ],
)
def test_options_of_real_entries(options: dict[str, Any], said: str) -> None:
    refused(
        lambda: plan(torch.exp, Z, complex="holomorphic", **options),
        ArgumentError,
        ValueError,
        said,
        "pass complex='as_real'",
    )


@pytest.mark.parametrize("function", [torch.abs, torch.real, torch.angle])
def test_real_output(function: Any) -> None:
    refused(
        lambda: jacobian(function, Z, complex="holomorphic"),
        OutputTypeError,
        TypeError,
        "expected a complex one",
        "pass complex='as_real'",
    )


def test_sparse_tensor() -> None:
    refused(
        lambda: jacobian(lambda z: z.to_dense(), Z.to_sparse(), complex="as_real"),
        InputTypeError,
        TypeError,
        r"args\[0\] has layout torch.sparse_coo",
    )


def test_operator_of_complex_numbers() -> None:
    options: dict[str, Any] = {"complex": "holomorphic"}
    refused(
        lambda: jacengine.operator(torch.exp, Z, **options),
        ArgumentError,
        ValueError,
        "an operator is of real numbers",
    )


def test_blocks_of_rows() -> None:
    refused(
        lambda: jacengine.blocks(torch.exp, Z, complex="holomorphic"),
        ArgumentError,
        ValueError,
        'by="rows"',
        "complex='as_real'",
    )


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_plan_called_with_others(mode: Any) -> None:
    made = plan(torch.exp, Z, complex=mode)
    for other in (Z.real, Z.to(torch.complex128), torch.cat([Z, Z])):
        with pytest.raises(PlanMismatchError):
            made(other)
    with pytest.raises(PlanMismatchError, match="1 arguments"):
        made(Z, Z)


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
@pytest.mark.parametrize("wrt", [1, (0, 1), "outputs", (), True])
def test_wrt_that_names_nothing(mode: Any, wrt: Any) -> None:
    """The further arguments of imaginary parts are none of the user's."""
    with pytest.raises(ArgumentError, match="wrt="):
        jacobian(torch.exp, Z, wrt=wrt, complex=mode)


def test_wrt_parameters_of_a_function() -> None:
    with pytest.raises(ArgumentError, match=r"parameters of an nn\.Module, but"):
        jacobian(torch.exp, Z, wrt="params", complex="as_real")


def test_lazy_module() -> None:
    with pytest.raises(InputTypeError, match="lazy"):
        jacobian(nn.LazyLinear(2), Z[None], wrt="params", complex="as_real")


def test_number_among_samples() -> None:
    def scaled(d: dict[str, Tensor]) -> Tensor:
        return d["z"] * d["s"]

    argument = {"z": Z[:, None], "s": torch.tensor(2j)}
    with pytest.raises(ArgumentError, match=r"args\[0\]\['s'\].*of its own"):
        jacobian(scaled, argument, batch_dim=0, complex="as_real")
    J = jacobian(scaled, argument, batch_dim=0, complex="holomorphic")
    torch.testing.assert_close(J["s"], Z[:, None])


def test_axis_from_the_end_of_several_ranks() -> None:
    def scaled(d: tuple[Tensor, Tensor]) -> Tensor:
        return d[0] * d[1][:, None]

    with pytest.raises(ArgumentError, match="Count it from the front"):
        jacobian(scaled, (Z[:, None], Z), batch_dim=(-1,), complex="as_real")


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (torch.empty(2, 2), "float32"),
        (torch.empty(2, 3, dtype=torch.complex64), "2, 3"),
        ((torch.empty(2, 2),), "nests"),
        ("nothing", "str"),
    ],
)
def test_out_that_does_not_fit(out: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match="out=") as caught:
        jacobian(torch.exp, Z, complex="holomorphic", out=out)
    assert said in str(caught.value)


def test_values_do_not_go_with_complex_functions() -> None:
    z = torch.tensor([1j])
    with pytest.raises(ArgumentError, match=r"with_value=True.*complex='as_real'"):
        plan(torch.exp, z, complex="as_real", with_value=True)
