"""Other threads that use the same model or torch's global state meanwhile."""

import threading

import pytest
import torch
from torch import Tensor, nn

import jacengine
from tests.problems import OF_PARAMETERS, mlp, randn

BY_NAME = [s for s in OF_PARAMETERS if "forward" not in s]


@pytest.mark.parametrize("strategy", [*BY_NAME, "auto"])
def test_a_thread_that_calls_the_model_sees_the_model_alone(strategy: str) -> None:
    model, x = mlp(3, 4, 2), randn(5, 3)
    parameters = set(map(id, model.parameters()))
    expected = model(x)
    met: list[str] = []

    def look(module: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        if threading.current_thread() is threading.main_thread():
            return
        if not {id(p) for p in module.parameters()} <= parameters:
            met.append("foreign parameters")
        if torch.is_grad_enabled() and not out.requires_grad:
            met.append("no graph")

    for layer in model:
        layer.register_forward_hook(look)
    stop = threading.Event()

    def use() -> None:
        while not stop.is_set():
            if not torch.equal(model(x), expected):
                met.append("another result")

    user = threading.Thread(target=use)
    user.start()
    try:
        for _ in range(20):
            jacengine.jacobian(model, x, wrt="params", batch_dim=0, strategy=strategy)
    finally:
        stop.set()
        user.join()
    assert not met


def attention(x: Tensor) -> Tensor:
    return nn.functional.scaled_dot_product_attention(x, x, x)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_attention_draws_no_random_numbers() -> None:
    assert jacengine.auto(attention, randn(1, 1, 3, 4)).shape == (1, 1, 3, 4) * 2


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_settings_are_put_back_in_the_right_order() -> None:
    """The same kernels are switched off in several threads at once."""
    lstm, x = nn.LSTM(3, 4, batch_first=True), randn(2, 3, 3).float()
    recurrent = jacengine.plan(lambda x: lstm(x)[0], x, strategies=["vmap_vjp"])
    y = randn(1, 1, 3, 4).float()
    attending = jacengine.plan(attention, y, strategies=["vmap_jvp"])
    assert recurrent.chosen.method is not None
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                if number % 2:
                    recurrent(x)
                    jacengine.hessian(lambda y: attention(y).sum(), y)
                else:
                    attending(y)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []  # and the settings are checked after every test
