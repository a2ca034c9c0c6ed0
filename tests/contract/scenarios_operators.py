"""Operators with a derivative of their own: sorting, decompositions, transforms."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.contract.build_problem import function, randn, scenario
from tests.contract.scenario import Case, Scenario

# The stubs of these say nothing about types.
_linalg = cast("Any", torch.linalg)
_fft = cast("Any", torch.fft)


def _cdist(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y)


def _cdist_to_fixed(x: Tensor) -> Tensor:
    anchors = torch.arange(8.0, dtype=x.dtype).reshape(4, 2).cos()
    return torch.cdist(x, anchors).sum(-2)


def _where(x: Tensor) -> Tensor:
    safe = torch.where(x > 0.0, x, torch.ones_like(x))
    return torch.where(x > 0.0, safe.sqrt(), torch.zeros_like(x)).cumsum(-1)


def _sort(x: Tensor) -> Tensor:
    return x.sort(dim=-1, descending=True).values * x[..., :1]


def _topk(x: Tensor) -> Tensor:
    return x.topk(2, dim=-1).values.square()


def _maximum(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.amax(-1), x.logsumexp(-1)


def _solve(x: Tensor) -> Tensor:
    matrix = x + 4.0 * torch.eye(3, dtype=x.dtype)
    right = torch.arange(6.0, dtype=x.dtype).reshape(3, 2)
    out: Tensor = _linalg.solve(matrix, right)
    return out


def _eigh(x: Tensor) -> Tensor:
    shift = torch.diag(torch.arange(3.0, dtype=x.dtype))
    values, vectors = _linalg.eigh(x + x.mT + 4.0 * shift)
    found: tuple[Tensor, Tensor] = (values, vectors)
    return torch.cat([found[0], found[1].square().sum(-1), found[1][..., 0, :] ** 2])


def _cholesky(x: Tensor) -> Tensor:
    matrix = x @ x.mT + 3.0 * torch.eye(3, dtype=x.dtype)
    out: Tensor = _linalg.cholesky(matrix)
    return out


def _spectrum(x: Tensor) -> Tensor:
    spectrum: Tensor = _fft.rfft(x)
    return spectrum.abs().square()


def _complex_inside(x: Tensor) -> Tensor:
    wave = torch.complex(x.sin(), x.flip(-1).square())
    product = wave * wave.sum(-1, keepdim=True)
    return torch.cat([product.real, product.imag[..., :2]], dim=-1)


def _index_put(x: Tensor) -> Tensor:
    index = torch.tensor([3, 0, 3])
    out = torch.zeros(4, dtype=x.dtype)
    return out.index_put_((index,), x.square(), accumulate=True) * x.sum()


def _scatter(x: Tensor) -> Tensor:
    index = torch.tensor([1, 0, 1]).expand(x.shape)
    zeros = torch.zeros(*x.shape[:-1], 2, dtype=x.dtype)
    return zeros.scatter_add(-1, index, x.exp())


def _grid_sample(grid: Tensor) -> Tensor:
    image = torch.arange(30.0, dtype=grid.dtype).sin().reshape(1, 2, 3, 5)
    sampled: Tensor = F.grid_sample(image, grid.tanh(), align_corners=False)
    return sampled


def _resized(image: Tensor) -> Tensor:
    return F.interpolate(
        image.tanh(), size=(3, 4), mode="bicubic", align_corners=True
    ).sum(1)


def _contraction(x: Tensor, y: Tensor) -> Tensor:
    return torch.einsum("aj,kjl->lak", x, y.sin())


def _softmax(x: Tensor) -> Tensor:
    return x.softmax(-1)


def _triangle(case: Case) -> Tensor:
    x: Tensor = case.args[0]
    return torch.ones(len(x), len(x), dtype=x.dtype).tril()


def _cosines(case: Case) -> Tensor:
    x: Tensor = case.args[0]
    return x.cos().diag()


def _cosines_batched(case: Case) -> Tensor:
    x: Tensor = case.args[0]
    return x.cos().diag_embed()


def _softmax_jacobian(case: Case) -> Tensor:
    p = cast("Tensor", case.args[0]).softmax(-1)
    return p.diag_embed() - p.unsqueeze(-1) * p.unsqueeze(-2)


def _cdist_jacobian(case: Case) -> Tensor:
    x, y = cast("tuple[Tensor, Tensor]", case.args)
    gap = x.unsqueeze(1) - y.unsqueeze(0)
    unit = gap / gap.square().sum(-1, keepdim=True).sqrt()
    eye = torch.eye(len(x), dtype=x.dtype)
    return torch.einsum("ia,ijd->ijad", eye, unit)


def _grid() -> Case:
    return Case(_grid_sample, (randn(1, 2, 3, 2),))


SCENARIOS: tuple[Scenario, ...] = (
    function("cdist", _cdist, (5, 3), (4, 3), reference=_cdist_jacobian),
    function("cdist_batched", _cdist_to_fixed, (3, 5, 2), batch_dim=0),
    function("where_masked", _where, (5,)),
    function("where_masked_batched", _where, (3, 5), batch_dim=0),
    function("cumsum", lambda x: x.cumsum(0), (4,), reference=_triangle),
    function("cumprod", lambda x: x.cumprod(-1), (4,)),
    function("sort", _sort, (4,)),
    function("sort_batched", _sort, (3, 4), batch_dim=0),
    function("topk", _topk, (5,)),
    function("maximum", _maximum, (4, 3), tags="pytree", batch_dim=0),
    function("solve", _solve, (3, 3)),
    function("solve_batched", _solve, (2, 3, 3), batch_dim=0),
    function("eigh", _eigh, (3, 3)),
    function("cholesky", _cholesky, (3, 2)),
    function("fft", _spectrum, (5,)),
    function("fft_batched", _spectrum, (2, 5), batch_dim=0),
    function("complex_inside", _complex_inside, (3,)),
    function("complex_inside_batched", _complex_inside, (2, 3), batch_dim=0),
    function("index_put_into_zeros", _index_put, (3,)),
    function("scatter_add_batched", _scatter, (4, 3), batch_dim=0),
    scenario("grid_sample", _grid),
    function("interpolate_batched", _resized, (2, 2, 2, 3), batch_dim=0),
    function("einsum", _contraction, (2, 3), (4, 3, 5), wrt="inputs"),
    function("sin", torch.sin, (4,), reference=_cosines),
    function("sin_batched", torch.sin, (3, 4), batch_dim=0, reference=_cosines_batched),
    function("softmax", _softmax, (4,), reference=_softmax_jacobian),
    function(
        "softmax_batched", _softmax, (3, 4), batch_dim=0, reference=_softmax_jacobian
    ),
)
