"""Plain functions: shapes and memory layouts of what goes in and comes out."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.contract.build_problem import function, randn, scenario
from tests.contract.scenario import Case, Scenario


def _vector(x: Tensor) -> Tensor:
    return torch.stack([x[0] * x[1], x[2].sin(), x[0] + x[2] ** 3, x[1].exp(), x[0]])


def _scalar(x: Tensor) -> Tensor:
    return (x.sin() * x).sum()


def _powers(x: Tensor) -> Tensor:
    return torch.stack([x, x**2, x**3])


def _offset(x: Tensor) -> Tensor:
    return x.sum() + torch.arange(3.0, dtype=x.dtype)


def _nothing(x: Tensor) -> Tensor:
    return 2.0 * x[:0]


def _mix(x: Tensor) -> Tensor:
    return torch.stack([x.sum(0), x.prod(0), x[0].cos() * x[1]], dim=1).exp()


def _rowwise(x: Tensor) -> Tensor:
    return torch.stack([x.prod(-1), x.square().sum(-1), x[..., 0].cos()], dim=-1)


def _product(x: Tensor) -> Tensor:
    return x.prod(-1)


def _two_powers(x: Tensor) -> Tensor:
    return torch.stack([x**2, x.sin()], dim=-1)


def _flattened(x: Tensor) -> Tensor:
    flat = x.reshape(-1)
    return flat[1:] * flat[:-1] + flat[0]


def _image(x: Tensor) -> Tensor:
    pooled: Tensor = F.avg_pool2d(x.tanh(), 2)
    return pooled.square().sum(1)


def _transposed() -> Case:
    return Case(_mix, (randn(4, 2).t(),))


def _expanded() -> Case:
    return Case(_flattened, (randn(3, 1).expand(3, 4),))


def _strided() -> Case:
    return Case(_flattened, (randn(3, 8)[:, ::2],))


def _channels_last() -> Case:
    images = randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    return Case(_image, (images,))


def _channels_last_batch() -> Case:
    images = randn(3, 2, 5, 4).to(memory_format=torch.channels_last)
    return Case(_image, (images,))


def _requires_grad() -> Case:
    return Case(_vector, (randn(3).requires_grad_(),))


def _non_leaf() -> Case:
    return Case(_vector, (randn(3).requires_grad_() * 2.0,))


SCENARIOS: tuple[Scenario, ...] = (
    function("vector_function", _vector, (3,)),
    function("scalar_output", _scalar, (4,)),
    function("scalar_to_scalar", torch.sin, ()),
    function("zero_dim_input", _powers, ()),
    function("empty_input", _offset, (0,), tags="empty"),
    function("empty_output", _nothing, (4,), tags="empty"),
    function("matrix_to_matrix", _mix, (2, 4)),
    scenario("noncontiguous_input", _transposed, "layout"),
    scenario("strided_input", _strided, "layout"),
    scenario("expanded_input", _expanded, "layout"),
    scenario("channels_last_input", _channels_last, "layout"),
    scenario("channels_last_batch", _channels_last_batch, "layout", batch_dim=0),
    scenario("input_requires_grad", _requires_grad),
    scenario("input_not_a_leaf", _non_leaf),
    function("batched_function", _rowwise, (5, 4), batch_dim=0),
    function("batch_of_one", _rowwise, (1, 4), batch_dim=0),
    function("empty_batch", _rowwise, (0, 4), tags="empty", batch_dim=0),
    function("batched_scalar_output", _product, (4, 3), batch_dim=0),
    function("batch_of_scalars", _two_powers, (4,), batch_dim=0),
)
