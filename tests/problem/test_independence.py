"""Samples that see each other, and functions that draw: refused, with the cause."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jacengine import CoupledSamplesError, RandomnessError
from jacengine.problem.independence import coupled_by_value, coupled_by_vjp, splits
from tests.contract.compare import assert_same
from tests.contract.reference import reference_jacobian
from tests.contract.scenario import Case
from tests.problems import mlp, randn
from tests.refusals import jacobian, plan, refused

Ask = Callable[..., Any]
ASKS: list[Ask] = [jacobian, plan]


def reads_other(reader: int, read: int) -> Callable[[Tensor], Tensor]:
    """Make a function in which one sample reads one other, and no more."""

    def fn(x: Tensor) -> Tensor:
        others = torch.zeros_like(x).index_put((torch.tensor(reader),), x[read])
        return x.sin() + 1e-6 * others

    return fn


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.Sequential(nn.BatchNorm1d(3))])
def test_batch_norm_in_training(ask: Ask, layer: nn.Module) -> None:
    layer.double().train()
    said = ("BatchNorm1d .* in training mode", r"call \.eval\(\)", "batch_dim out")
    refused(
        lambda: ask(layer, randn(5, 3), batch_dim=0),
        CoupledSamplesError,
        ValueError,
        *said,
    )
    refused(
        lambda: ask(layer.forward, randn(5, 3), batch_dim=0),
        CoupledSamplesError,
        ValueError,
        *said,
    )


def test_batch_norm_without_running_statistics() -> None:
    layer = nn.BatchNorm1d(3, track_running_stats=False).double().eval()
    with pytest.raises(CoupledSamplesError, match="BatchNorm1d"):
        jacobian(layer, randn(5, 3), batch_dim=0)


def test_batch_norm_otherwise() -> None:
    layer, x = nn.BatchNorm1d(3).double(), randn(5, 3)
    options: dict[str, Any]
    for options in ({"batch_dim": None}, {"batch_dim": 0, "wrt": "params"}):
        case = Case(layer, (x,), options=options)
        wanted = reference_jacobian(case, coupled=True)
        assert_same(jacobian(layer, x, **options), wanted, 1e-9)
    assert jacobian(layer.eval(), x, batch_dim=0).shape == (5, 3, 3)


@pytest.mark.parametrize("ask", ASKS)
def test_mean_over_the_batch(ask: Ask) -> None:
    refused(
        lambda: ask(lambda x: x - x.mean(0), randn(5, 3), batch_dim=0),
        CoupledSamplesError,
        ValueError,
        "a change of one sample's input changes another sample's output",
        "a mean over it",
        "leave batch_dim out",
    )


@pytest.mark.parametrize(("reader", "read"), [(3, 11), (11, 3), (0, 15), (8, 9)])
def test_one_pair(reader: int, read: int) -> None:
    with pytest.raises(CoupledSamplesError, match="another sample"):
        jacobian(reads_other(reader, read), randn(16, 3), batch_dim=0)


def test_one_pair_that_is_one_sample() -> None:
    J = jacobian(reads_other(3, 3), randn(16, 3), batch_dim=0)
    assert J.shape == (16, 3, 3)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 16, 17])
def test_splits_tell_every_ordered_pair_apart(size: int) -> None:
    masks = list(splits(size))
    for one in range(size):
        for other in range(size):
            split = any(bool(m[one]) and not bool(m[other]) for m in masks)
            assert split == (one != other)
    assert len(masks) == 2 * max(size - 1, 0).bit_length()


@pytest.mark.parametrize("size", [2, 5, 8])
def test_every_pair_is_found(size: int) -> None:
    for reader in range(size):
        for read in range(size):
            x = randn(size, 2).requires_grad_()
            outputs = (reads_other(reader, read)(x),)
            assert coupled_by_vjp(outputs, (x,), size) == (reader != read)


def test_infinite_derivatives_are_no_coupling() -> None:
    x = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    assert not coupled_by_vjp((x.sqrt(),), (x,), 3)


@pytest.mark.parametrize("coupled", [False, True])
def test_coupling_of_indices_is_seen_in_the_values(*, coupled: bool) -> None:
    tokens, table = torch.arange(8).reshape(4, 2), randn(8, 3)

    def run(index: Tensor) -> tuple[Tensor, ...]:
        found = table[tokens[index]]
        return (found - found.mean(0) if coupled else found,)

    whole = run(torch.arange(4))
    assert coupled_by_value(whole, run, 4) == coupled


@pytest.mark.usefixtures("rng_untouched")
@pytest.mark.parametrize("ask", ASKS)
def test_dropout_in_training(ask: Ask) -> None:
    model = nn.Sequential(mlp(3, 4), nn.Dropout(0.5))
    refused(
        lambda: ask(model, randn(5, 3), batch_dim=0),
        RandomnessError,
        RuntimeError,
        "draws random numbers",
        r"Call \.eval\(\) on the module",
        "randomness='same'",
    )
    ask(model.eval(), randn(5, 3), batch_dim=0)


@pytest.mark.usefixtures("rng_untouched")
def test_noise_of_the_function_itself() -> None:
    with pytest.raises(RandomnessError, match="draws random numbers"):
        jacobian(lambda x: x * torch.rand_like(x), randn(5, 3))


@pytest.mark.usefixtures("rng_untouched")
@pytest.mark.parametrize("randomness", ["same", "different"])
def test_one_draw_is_that_of_a_plain_call(randomness: str) -> None:
    x, model = randn(5, 3), nn.Dropout(0.5)
    with torch.random.fork_rng(devices=[]):
        mask = model(torch.ones_like(x))
    for batch_dim, wanted in (
        (None, mask.flatten().diag().reshape(5, 3, 5, 3)),
        (0, torch.diag_embed(mask)),
    ):
        J = jacobian(model, x, batch_dim=batch_dim, randomness=randomness)
        assert torch.equal(J, wanted)
