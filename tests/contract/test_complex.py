"""Complex functions against their Wirtinger derivatives, by every strategy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import jacengine
from jacengine.plans import planning
from jacengine.plans.process_cache import ProcessCache

C = torch.complex128
Mode = Literal["as_real", "holomorphic"]


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=C, generator=generator)


MATRIX = draw(4, 3, seed=1)
Z = draw(3)


class Case(NamedTuple):
    """A function of `Z`, with `df/dz` and `df/d(conj z)`, each `(out, 3)`."""

    function: Callable[[Tensor], Tensor]
    by_variable: Tensor
    by_conjugate: Tensor


def holomorphic(function: Callable[[Tensor], Tensor], derivative: Tensor) -> Case:
    return Case(function, derivative, torch.zeros_like(derivative))


HOLOMORPHIC = {
    "exp": holomorphic(torch.exp, torch.diag(Z.exp())),
    "polynomial": holomorphic(
        lambda z: z**3 - 2j * z**2 + 1, torch.diag(3 * Z**2 - 4j * Z)
    ),
    "product of matrices": holomorphic(lambda z: MATRIX @ z, MATRIX),
    "square of a linear map": holomorphic(
        lambda z: (MATRIX @ z) ** 2, 2 * (MATRIX @ Z)[:, None] * MATRIX
    ),
    "fft": holomorphic(torch.fft.fft, torch.fft.fft(torch.eye(3, dtype=C), dim=0)),
    "two conjugations": holomorphic(
        lambda z: (z.conj() ** 2).conj(), torch.diag(2 * Z)
    ),
    "constant": holomorphic(lambda z: 0 * z + 1j, torch.zeros(3, 3, dtype=C)),
}
OTHER = {
    "conj": Case(torch.conj, torch.zeros(3, 3, dtype=C), torch.eye(3, dtype=C)),
    "squared modulus": Case(
        lambda z: z.real**2 + z.imag**2, torch.diag(Z.conj()), torch.diag(Z)
    ),
    "modulus as complex": Case(
        lambda z: z * z.conj(), torch.diag(Z.conj()), torch.diag(Z)
    ),
    "real part": Case(
        lambda z: z.real, torch.eye(3, dtype=C) / 2, torch.eye(3, dtype=C) / 2
    ),
    "almost holomorphic": Case(
        lambda z: z**2 + 1e-3 * z.conj(),
        torch.diag(2 * Z),
        1e-3 * torch.eye(3, dtype=C),
    ),
}


def as_real(case: Case) -> Tensor:
    """Return the real Jacobian of a case, from `df/dx = A + B`, `df/dy = i (A - B)`."""
    a, b = case.by_variable, case.by_conjugate
    columns = torch.stack([a + b, 1j * (a - b)], -1)
    rows = torch.view_as_real(columns).movedim(-1, 1)
    return rows if case.function(Z).is_complex() else rows[:, 0]


BY_INPUTS = tuple(s for s in jacengine.list_strategies() if s != "quasi_linear")
"""`quasi_linear` differentiates by parameters alone."""
SEVERAL_OUTPUTS = tuple(s for s in BY_INPUTS if s != "elimination")
"""`elimination` takes one output, where there are real and imaginary parts."""


@pytest.mark.parametrize("strategy", SEVERAL_OUTPUTS)
@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_holomorphic(name: str, strategy: str) -> None:
    case = HOLOMORPHIC[name]
    J = jacengine.jacobian(case.function, Z, strategy=strategy, complex="holomorphic")
    torch.testing.assert_close(J, case.by_variable)


@pytest.mark.parametrize("strategy", BY_INPUTS)
@pytest.mark.parametrize("name", HOLOMORPHIC | OTHER)
def test_as_real(name: str, strategy: str) -> None:
    case = (HOLOMORPHIC | OTHER)[name]
    J = jacengine.jacobian(case.function, Z, strategy=strategy, complex="as_real")
    torch.testing.assert_close(J, as_real(case))


@pytest.mark.parametrize("name", OTHER)
def test_not_holomorphic(name: str) -> None:
    with pytest.raises(jacengine.JacengineError, match="holomorphic"):
        jacengine.auto(OTHER[name].function, Z, complex="holomorphic")
    with pytest.raises(jacengine.JacengineError, match="holomorphic"):
        jacengine.plan(OTHER[name].function, Z, complex="holomorphic", effort="none")


def test_size_of_the_violation() -> None:
    with pytest.raises(
        jacengine.ArgumentError, match=r"conjugate of args\[1\]\['z'\].* 2\.0e-0[12] "
    ):
        jacengine.auto(
            lambda w, d: w + d["z"] + 0.02 * d["z"].conj(),
            Z[:1],
            {"z": Z[1:2]},
            wrt=(0, 1),
            complex="holomorphic",
        )


def test_holomorphic_at_the_choice_alone() -> None:
    """A branch that is not holomorphic is found at the call that takes it."""

    def piecewise(z: Tensor) -> Tensor:
        return torch.where(z.real > 10, z.conj(), z**2)

    plan = jacengine.plan(piecewise, Z, complex="holomorphic", effort="none")
    torch.testing.assert_close(plan(2 * Z), torch.diag(4 * Z))
    with pytest.raises(jacengine.ArgumentError, match="not holomorphic"):
        plan(Z + 20)


def test_rounding_is_no_violation() -> None:
    """The derivative of what cancels is nothing but rounding."""
    z = draw(50).to(torch.complex64)
    J = jacengine.auto(lambda z: z.sin() ** 2 + z.cos() ** 2, z, complex="holomorphic")
    assert J.abs().max() < 1e-4
    with pytest.raises(jacengine.ArgumentError, match="not holomorphic"):
        jacengine.auto(
            lambda z: z.sin() ** 2 + z.cos() ** 2 + 1e-3 * z.conj(),
            z,
            complex="holomorphic",
        )


def test_verify_leaves_the_check_out() -> None:
    J = jacengine.auto(torch.conj, Z, complex="holomorphic", verify=False)
    torch.testing.assert_close(J, torch.eye(3, dtype=C))  # the derivative by Re z


def test_real_to_complex() -> None:
    radius, angle = torch.rand(3).double() + 1, torch.rand(3).double()

    def polar(inputs: tuple[Tensor, Tensor]) -> Tensor:
        return torch.polar(*inputs)

    unit = torch.exp(1j * angle)
    by_radius, by_angle = jacengine.auto(polar, (radius, angle), complex="holomorphic")
    torch.testing.assert_close(by_radius, torch.diag(unit))
    torch.testing.assert_close(by_angle, torch.diag(1j * radius * unit))
    real = jacengine.auto(polar, (radius, angle), complex="as_real")
    torch.testing.assert_close(
        real[1], torch.view_as_real(torch.diag(1j * radius * unit)).movedim(-1, 1)
    )


def test_gradient_convention_of_torch() -> None:
    """The gradient of a real loss is `dL/dx + i dL/dy`."""
    z = Z.clone().requires_grad_()

    def loss(z: Tensor) -> Tensor:
        return (MATRIX @ z.sin()).abs().sum()

    loss(z).backward()
    J = jacengine.auto(loss, Z, complex="as_real")
    torch.testing.assert_close(torch.view_as_complex(J), z.grad)


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_finite_differences(mode: Mode) -> None:
    def function(z: Tensor) -> Tensor:
        spectrum: Tensor = torch.fft.ifft(
            (MATRIX @ z).tanh() * torch.fft.fft(z.exp(), n=4)
        )
        matrix = torch.outer(z, z) + 3 * torch.eye(3)
        solved: Tensor = torch.linalg.solve(matrix, spectrum[:3])
        return solved * z.sum()

    J, h = jacengine.auto(function, Z, complex=mode), 1e-6
    for place in range(3):
        for part, unit in enumerate((1, 1j)):
            step = h * unit * torch.eye(3, dtype=C)[place]
            found = (function(Z + step) - function(Z - step)) / (2 * h)
            if mode == "as_real":
                expected = torch.view_as_real(found)
                got = J[:, :, place, part]
            else:
                expected, got = found / unit, J[:, place]
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-8)


class Network(nn.Module):
    """Two complex layers that share a bias, and a real scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(3, 2, dtype=C)
        self.second = nn.Linear(2, 2, dtype=C)
        self.second.bias = self.first.bias
        self.scale = nn.Parameter(torch.rand(2).double() + 1)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.second((self.first(z) * self.scale).tanh())
        return out


def derivatives(model: Network, z: Tensor) -> dict[str, Tensor]:
    """Return the complex derivatives of a `Network` by hand, of each sample."""
    linear = model.first(z)
    hidden = (linear * model.scale).tanh()
    slope = 1 - hidden**2
    weight, eye = model.second.weight, torch.eye(2, dtype=C)
    inner = weight * (slope * model.scale)[:, None]  # (B, out, hidden)
    return {
        "first.weight": torch.einsum("boh,bi->bohi", inner, z),
        "first.bias": inner + eye,
        "second.weight": torch.einsum("op,bh->boph", eye, hidden),
        "scale": weight * (slope * linear)[:, None],
    }


def pairs(J: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the real Jacobians of holomorphic functions, of outputs with one axis."""
    found: dict[str, Tensor] = {}
    for name, block in J.items():
        columns = block if name == "scale" else torch.stack([block, 1j * block], -1)
        found[name] = torch.view_as_real(columns).movedim(-1, 2)
    return found


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_parameters(mode: Mode) -> None:
    model, z = Network(), draw(5, 3)

    def check(J: dict[str, Tensor], z: Tensor) -> None:
        expected = derivatives(model, z)
        expected = expected if mode == "holomorphic" else pairs(expected)
        assert sorted(J) == sorted(expected)
        for name, block in J.items():
            torch.testing.assert_close(block, expected[name].detach())

    options: dict[str, Any] = {"wrt": "params", "batch_dim": 0, "complex": mode}
    check(jacengine.auto(model, z, **options), z)
    plan = jacengine.plan(model, z, **options)
    check(plan(z), z)
    check(plan(draw(7, 3, seed=2)), draw(7, 3, seed=2))  # another number of samples
    with torch.no_grad():  # parameters are read at each call
        model.first.weight.mul_(0.5)
    check(plan(z), z)
    model.second.weight.data = draw(2, 2, seed=3)
    check(plan(z), z)
    model.second.weight = nn.Parameter(draw(2, 2, seed=4))
    model.scale = nn.Parameter(torch.rand(2).double())
    check(plan(z), z)
    assert all(p.grad is None for p in model.parameters())
    assert sorted(dict(model.named_parameters())) == sorted(derivatives(model, z))


def test_flat_layout_by_parameters() -> None:
    model, z = Network(), draw(5, 3)
    J = jacengine.auto(
        model, z, wrt="params", batch_dim=0, layout="flat", complex="holomorphic"
    )
    named = jacengine.named_views(J, model)
    for name, block in derivatives(model, z).items():
        torch.testing.assert_close(named[name], block.detach())


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_create_graph(mode: Mode) -> None:
    z = Z.clone().requires_grad_()
    found = jacengine.auto(lambda z: z**3, z, complex=mode, create_graph=True)
    if mode == "as_real":
        found = torch.view_as_complex(found[..., 0].movedim(1, -1).contiguous())
    u = draw(3, 3, seed=5)
    (gradient,) = torch.autograd.grad((u.conj() * found).sum().real, z)
    torch.testing.assert_close(gradient, (6 * Z).conj() * u.diagonal())


def test_create_graph_by_parameters() -> None:
    model, z = Network(), draw(5, 3)
    plan = jacengine.plan(
        model, z, wrt="params", batch_dim=0, create_graph=True, complex="holomorphic"
    )
    u = draw(5, 2, 2, 3, seed=6)
    found, expected = (
        torch.autograd.grad(
            (u.conj() * J["first.weight"]).sum().real, list(model.parameters())
        )
        for J in (plan(z), derivatives(model, z))
    )
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got, wanted)


def test_nested_arguments_and_outputs() -> None:
    z, w, x = draw(4, 3), draw(4, 3, seed=7), torch.rand(4, 3).double()

    def function(d: dict[str, Any], w: Tensor, *, shift: Tensor) -> dict[str, Tensor]:
        return {"a": d["z"] * w * d["x"] + shift, "b": (d["z"] ** 2).sum(1)}

    J = jacengine.auto(
        function,
        {"z": z, "x": x},
        w,
        kwargs={"shift": 1j * x},
        wrt=(0, -1),
        batch_dim=0,
        complex="holomorphic",
    )
    torch.testing.assert_close(J["a"][0]["z"], torch.diag_embed(w * x))
    torch.testing.assert_close(J["a"][0]["x"], torch.diag_embed(z * w))
    torch.testing.assert_close(J["a"][1], torch.diag_embed(z * x))
    torch.testing.assert_close(J["b"][0]["z"], 2 * z)
    assert not J["b"][1].any()


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_samples_along_another_axis(mode: Mode) -> None:
    z, w = draw(3, 4), draw(4)
    for batch_dim in ((1, 0), (-1, -1)):
        J = jacengine.auto(
            lambda z, w: z.mT * w[:, None], z, w, batch_dim=batch_dim, complex=mode
        )
        expected = w[:, None, None] * torch.eye(3)
        if mode == "holomorphic":
            torch.testing.assert_close(J, expected)
        else:
            torch.testing.assert_close(J[:, :, 0, :, 0], expected.real)
            torch.testing.assert_close(J[:, :, 1, :, 0], expected.imag)
            torch.testing.assert_close(J[:, :, 0, :, 1], -expected.imag)


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_shared_number_beside_a_batch(mode: Mode) -> None:
    z, scale = draw(2, 3), torch.tensor(2 + 1j, dtype=C)
    J = jacengine.auto(lambda z, s: z * s, z, scale, wrt=1, batch_dim=0, complex=mode)
    found = (
        J if mode == "holomorphic" else torch.view_as_complex(J[..., 0].contiguous())
    )
    torch.testing.assert_close(found, z)


def test_aux_is_left_as_it_is() -> None:
    J, aux = jacengine.auto(
        lambda z: (z**2, z.abs()), Z, has_aux=True, complex="holomorphic"
    )
    torch.testing.assert_close(J, torch.diag(2 * Z))
    torch.testing.assert_close(aux, Z.abs())


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
def test_preallocated(mode: Mode) -> None:
    plain = jacengine.auto(torch.sin, Z, complex=mode)
    out = torch.empty_like(plain)
    assert jacengine.auto(torch.sin, Z, complex=mode, out=out) is out
    torch.testing.assert_close(out, plain)
    plan = jacengine.plan(torch.sin, Z, complex=mode, effort="none")
    assert plan(2 * Z, out=out) is out
    torch.testing.assert_close(out, jacengine.auto(torch.sin, 2 * Z, complex=mode))


def test_chosen_columns_and_rows() -> None:
    function = HOLOMORPHIC["square of a linear map"].function
    derivative = HOLOMORPHIC["square of a linear map"].by_variable
    chosen = torch.tensor([2, 0])
    J = jacengine.auto(function, Z, columns=chosen, complex="holomorphic")
    torch.testing.assert_close(J, derivative[:, chosen])
    rows = jacengine.auto(function, Z, rows=slice(2, 4), complex="as_real")
    expected = as_real(HOLOMORPHIC["square of a linear map"])[1]
    torch.testing.assert_close(rows, expected)


def test_sparse_as_real() -> None:
    z = draw(50)
    J = jacengine.auto(lambda z: z[1:] * z[:-1], z, layout="csr", complex="as_real")
    dense = jacengine.auto(lambda z: z[1:] * z[:-1], z, complex="as_real")
    torch.testing.assert_close(J.to_dense(), dense.reshape(98, 100))
    assert J.values().numel() == 49 * 8


def test_hessian() -> None:
    def cubes(z: Tensor) -> Tensor:
        return (z**3).sum()

    H = jacengine.hessian(cubes, Z, complex="holomorphic")
    torch.testing.assert_close(H, torch.diag(6 * Z))

    def energy(z: Tensor) -> Tensor:
        return (z.real**2 * z.imag).sum()

    found = jacengine.hessian(energy, Z, complex="as_real")
    x, y = Z.real, Z.imag
    torch.testing.assert_close(found[:, 0, :, 0], torch.diag(2 * y))
    torch.testing.assert_close(found[:, 0, :, 1], torch.diag(2 * x))
    assert not found[:, 1, :, 1].any()


@pytest.mark.parametrize("wrt", [0, "params"])
def test_operator(wrt: Any) -> None:
    model, z = Network(), draw(5, 3)
    op = jacengine.operator(model, z, wrt=wrt, batch_dim=0, complex="as_real")
    for samples in (z, draw(5, 3, seed=8)):
        expected = jacengine.jacobian(
            model,
            samples,
            wrt=wrt,
            batch_dim=0,
            layout="flat",
            complex="as_real",
            strategy="vmap_jvp",
        )
        dense = expected.reshape(20, -1)
        if wrt == 0:
            dense = torch.block_diag(*expected.flatten(1, 2))
        torch.testing.assert_close(op.at(samples).dense(), dense)
        torch.testing.assert_close(op.at(samples).gram(), dense @ dense.T)


@pytest.mark.parametrize("by", ["samples", "parameters"])
def test_blocks(by: Any) -> None:
    model, z = Network(), draw(200, 3)
    pieces = list(
        jacengine.blocks(
            model,
            z,
            wrt="params",
            batch_dim=0,
            by=by,
            memory_budget="256KiB",
            effort="none",
            complex="holomorphic",
        )
    )
    assert len(pieces) > 1
    assert all(piece.rows == slice(0, 2) for piece in pieces)
    for name, block in derivatives(model, z).items():
        parts = [p.jacobian[name] for p in pieces if name in p.jacobian]
        torch.testing.assert_close(torch.cat(parts), block.detach())


@pytest.mark.parametrize("mode", ["as_real", "holomorphic"])
@pytest.mark.parametrize("options", [{}, {"batch_dim": 0}, {"wrt": "inputs"}])
def test_saved_plan(tmp_path: Path, mode: Any, options: dict[str, Any]) -> None:
    plan = jacengine.plan(torch.sin, Z, complex=mode, **options)
    plan.save(tmp_path / "plan.json")
    for given in ({}, {"complex": mode, **options}):
        loaded = jacengine.load_plan(tmp_path / "plan.json", torch.sin, Z, **given)
        torch.testing.assert_close(loaded(2 * Z), plan(2 * Z))
    other: Any = "as_real" if mode == "holomorphic" else "holomorphic"
    with pytest.raises(jacengine.PlanMismatchError):
        jacengine.load_plan(tmp_path / "plan.json", torch.sin, Z, complex=other)


def test_written_anew_is_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions and modules are written as real ones at each call, and share a plan."""
    plans = ProcessCache[Any](lambda plan: plan.problem)
    monkeypatch.setattr(planning, "_PLANS", plans)
    for seed in range(4):
        z = draw(4, 3, seed=seed)
        J = jacengine.auto(
            lambda d: d["z"].sinh(), {"z": z}, batch_dim=0, complex="holomorphic"
        )
        torch.testing.assert_close(J["z"], torch.diag_embed(z.cosh()))
    assert len(plans) == 1
