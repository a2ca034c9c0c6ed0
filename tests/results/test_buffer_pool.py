"""Memory of dropped results: used again, and never while anything holds it."""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

import jacengine
from jacengine.peak_memory import peak_memory
from jacengine.results.buffer_pool import RESULT_POOL, BufferPool

LARGE = 2**22
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    jacengine.release_memory()
    yield
    jacengine.release_memory()


def weights(width: int = 64, samples: int = 300) -> tuple[nn.Module, Tensor]:
    """Return a layer with a Jacobian of `samples * 4 * width * 4` entries."""
    torch.manual_seed(0)
    return nn.Linear(width, 4), torch.randn(samples, width)


def large_plan(**options: Any) -> tuple[jacengine.Plan, Tensor]:
    net, x = weights(samples=1100)
    options = {"strategies": ["quasi_linear"], **options}
    plan = jacengine.plan(net, x, wrt=["weight"], batch_dim=0, **options)
    assert plan.problem.result_bytes >= LARGE
    return plan, x


def right(x: Tensor) -> Tensor:
    return torch.einsum("ko,si->skoi", torch.eye(4), x)


def test_a_dropped_result_makes_room_for_the_next() -> None:
    plan, x = large_plan()
    place = plan(x)["weight"].data_ptr()
    for step in range(3):
        found = plan(x + step)["weight"]
        assert found.data_ptr() == place
        assert found.is_contiguous()
        torch.testing.assert_close(found, right(x + step))
        del found


def test_a_loop_that_holds_the_last_result_goes_back_and_forth() -> None:
    plan, x = large_plan()
    places: list[int] = []
    last = plan(x)
    for step in range(6):
        last = plan(x + step)
        places.append(last["weight"].data_ptr())
        torch.testing.assert_close(last["weight"], right(x + step))
    assert len(set(places)) == 2


def _graph(J: Tensor) -> Tensor:
    return (torch.ones(1, requires_grad=True) * J).sum()


def _buffer(J: Tensor) -> memoryview:
    array: Any = J.numpy()
    return memoryview(array)


HOLDERS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]] = {
    "the tensor": (lambda J: J, lambda kept: kept),
    "a view": (lambda J: J[3:5, 1], lambda kept: kept),
    "a detached one": (lambda J: J.detach().flatten(), lambda kept: kept),
    "an array": (lambda J: J.numpy()[2], torch.from_numpy),
    "a buffer": (_buffer, lambda kept: torch.from_numpy(np.asarray(kept))),
    "another framework": (from_dlpack, lambda kept: kept),
    "a storage": (
        lambda J: J.untyped_storage(),
        lambda kept: torch.empty(0).set_(kept),
    ),
    "a parameter": (nn.Parameter, lambda kept: kept.detach()),
    "a graph": (_graph, lambda kept: kept.grad_fn.next_functions[0][0]._saved_other),
    "a closure": (lambda J: lambda: J, lambda kept: kept()),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_what_is_held_is_left_alone(name: str) -> None:
    hold, look = HOLDERS[name]
    plan, x = large_plan()
    J = plan(x)["weight"]
    place = J.data_ptr()
    kept = hold(J)
    del J
    for step in (1, 2, 3):
        assert plan(x + step)["weight"].data_ptr() != place
    assert torch.equal(look(kept), look(hold(right(x))))
    del kept
    gc.collect()
    held = [plan(x)["weight"] for _ in range(3)]
    assert place in {J.data_ptr() for J in held}


def test_memory_that_other_processes_may_read_is_left_alone() -> None:
    plan, x = large_plan()
    J = plan(x)["weight"]
    J.share_memory_()
    place = J.data_ptr()
    del J
    assert plan(x + 1)["weight"].data_ptr() != place


def test_threads_have_memory_of_their_own() -> None:
    plan, x = large_plan()
    faults: list[int] = []

    def work(number: int) -> None:
        for step in range(15):
            at = x + number * 100 + step
            J = plan(at)["weight"]
            if not torch.equal(J, right(at)):
                faults.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_no_more_is_kept_than_allowed() -> None:
    room = BufferPool(most=3 * LARGE)
    made = [
        room.allocate((LARGE,), dtype=torch.uint8, device=CPU).fill_(n)
        for n in range(6)
    ]
    assert room.bytes == 3 * LARGE
    assert [int(tensor[0]) for tensor in made] == list(range(6))
    places = [tensor.data_ptr() for tensor in made]
    del made
    again = [room.allocate((LARGE,), dtype=torch.uint8, device=CPU) for _ in range(3)]
    assert {tensor.data_ptr() for tensor in again} == {*places[3:]}
    room.release()
    assert room.bytes == 0


def test_shapes_and_dtypes_may_differ() -> None:
    room = BufferPool()
    place = room.allocate((LARGE,), dtype=torch.uint8, device=CPU).data_ptr()
    other = room.allocate((2, LARGE // 16), dtype=torch.float64, device=CPU)
    assert (other.data_ptr(), other.shape) == (place, (2, LARGE // 16))
    assert other.is_contiguous()
    assert not other.requires_grad


@pytest.mark.parametrize(
    ("count", "most"), [(LARGE - 1, 2**30), (2 * LARGE, 3 * LARGE), (0, 2**30)]
)
def test_too_little_and_too_much_is_not_kept(count: int, most: int) -> None:
    room = BufferPool(most)
    assert room.allocate((count,), dtype=torch.uint8, device=CPU).shape == (count,)
    assert room.bytes == 0


def test_nothing_is_kept_under_a_tight_budget_or_of_selections() -> None:
    plan, x = large_plan(memory_budget="60 MB")
    plan(x)
    assert RESULT_POOL.bytes == 0
    plan, x = large_plan()
    assert RESULT_POOL.bytes == 0
    plan(x)
    assert RESULT_POOL.bytes == plan.problem.result_bytes
    jacengine.release_memory()
    assert RESULT_POOL.bytes == 0


def test_auto_uses_it_too() -> None:
    net, x = weights(samples=1100)
    for step in range(3):
        J = jacengine.auto(net, x + step, wrt=["weight"], batch_dim=0, effort="none")
        torch.testing.assert_close(J["weight"], right(x + step))
        del J


def test_what_is_used_again_counts_as_memory() -> None:
    plan, x = large_plan()
    for _ in range(2):
        with peak_memory(CPU) as peak:
            plan(x)
        assert peak.bytes >= plan.problem.result_bytes
