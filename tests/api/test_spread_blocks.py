"""Pieces computed by executors: together the whole, and resumed where they ended."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

import jacengine
from jacengine.api import spread_blocks
from jacengine.distributed.shard_folder import MANIFEST
from jacengine.errors import ArgumentError, MemoryBudgetError
from jacengine.plans.blockwise import BlockwiseJacobian, Piece
from tests.distributed import builders

PER_SAMPLE: dict[str, Any] = {"wrt": "params", "batch_dim": 0, "layout": "flat"}
NETWORK = "tests.distributed.builders:network"
AXES = {"samples": 0, "rows": 1, "parameters": 2}


class Here(Executor):
    """Computes at once, in this process; counts the tasks.

    Attributes:
        parts: What was submitted.
    """

    def __init__(self) -> None:
        self.parts: list[tuple[int, int]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        self.parts.append((args[1].start, args[1].stop))
        future = Future[Any]()
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ProcessPoolExecutor(
        2,
        mp_context=get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(1,),
    ) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_blocks, "_last", None)


def whole(**options: Any) -> Any:
    return jacengine.auto(*builders.network(), **options)


def joined(pieces: Any, axis: int) -> Tensor:
    return torch.cat([piece.jacobian for piece in pieces], dim=axis)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("by", AXES)
def test_processes_compute_the_whole(
    pool: Executor, by: Any, tmp_path: Path, *, on_disk: bool
) -> None:
    options: dict[str, Any] = {**PER_SAMPLE, "by": by}
    if on_disk:
        options["folder"] = tmp_path / "J"
    pieces = jacengine.blocks(NETWORK, executor=pool, **options)
    found = list(pieces)
    assert len(found) == len(pieces) > 2
    torch.testing.assert_close(joined(found, AXES[by]), whole(**PER_SAMPLE))
    one, two = found[0], found[1]
    following = {
        "samples": one.samples.stop == two.samples.start,
        "rows": one.rows.stop == two.rows.start,
        "parameters": one.parameters != two.parameters,
    }
    assert following[by]


def test_a_worker_builds_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(2) as threads:  # of this process, which builds itself too
        monkeypatch.setenv(builders.VARIABLE, str(tmp_path))
        counted = "tests.distributed.builders:counted"
        list(jacengine.blocks(counted, executor=threads, **PER_SAMPLE))
    assert (tmp_path / str(os.getpid())).read_text() == ".."


@pytest.mark.parametrize("on_disk", [False, True])
def test_dtypes_and_nests(tmp_path: Path, *, on_disk: bool) -> None:
    folder = tmp_path / "J" if on_disk else None
    cases: list[tuple[Callable[[], Any], dict[str, Any]]] = [
        (builders.half, {"batch_dim": 0}),
        (builders.two_arguments, {"batch_dim": 0, "wrt": (0, 1)}),
        (builders.two_arguments, {"batch_dim": 0, "wrt": (1,)}),
        (builders.holomorphic, {"batch_dim": 0, "complex": "holomorphic"}),
    ]
    for builder, options in cases:
        fn, *rest = builder()
        args = rest[0] if isinstance(rest[0], tuple) else tuple(rest)
        place = None if folder is None else folder / f"{builder.__name__} {options}"
        pieces = jacengine.blocks(
            f"{builder.__module__}:{builder.__name__}",
            executor=Here(),
            folder=place,
            **options,
        )
        expected = jacengine.blocks(fn, *args, min_pieces=16, **options)
        for piece, other in zip(pieces, expected, strict=True):
            torch.testing.assert_close(piece.jacobian, other.jacobian)
            assert (piece.samples, piece.rows) == (other.samples, other.rows)


def test_a_restart_computes_what_is_missing_or_damaged(tmp_path: Path) -> None:
    folder, here = tmp_path / "J", Here()
    options: dict[str, Any] = {**PER_SAMPLE, "folder": folder, "min_pieces": 6}
    list(jacengine.blocks(NETWORK, executor=here, **options))
    assert len(here.parts) == 6
    missing, flipped, short, *_ = sorted(folder.glob("*.safetensors"))
    missing.unlink()
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    short.write_bytes(short.read_bytes()[:40])
    again = Here()
    found = joined(jacengine.blocks(NETWORK, executor=again, **options), 0)
    torch.testing.assert_close(found, whole(**PER_SAMPLE))
    assert len(again.parts) > 0
    assert again.parts[0][0] == 0
    assert again.parts[-1][1] == here.parts[2][1]
    idle = Here()
    list(jacengine.blocks(NETWORK, executor=idle, **options))
    assert not idle.parts


def test_files_of_others_in_the_folder_stay(tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    options: dict[str, Any] = {**PER_SAMPLE, "folder": tmp_path}
    list(jacengine.blocks(NETWORK, executor=Here(), **options))
    model.write_bytes(b"weights")
    found = joined(jacengine.blocks(NETWORK, executor=Here(), **options), 0)
    torch.testing.assert_close(found, whole(**PER_SAMPLE))
    assert model.read_bytes() == b"weights"


def test_a_restart_with_other_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "J"
    pieces = jacengine.blocks(
        NETWORK, executor=Here(), folder=folder, min_pieces=3, **PER_SAMPLE
    )
    list(pieces)
    sorted(folder.glob("*.safetensors"))[1].unlink()
    again = Here()
    found = jacengine.blocks(
        NETWORK, executor=again, folder=folder, min_pieces=4, **PER_SAMPLE
    )
    torch.testing.assert_close(joined(found, 0), whole(**PER_SAMPLE))
    assert [stop - start for start, stop in again.parts] == [5, 5]


def test_the_manifest_describes_the_shards(tmp_path: Path) -> None:
    folder = tmp_path / "J"
    list(jacengine.blocks(NETWORK, executor=Here(), folder=folder, **PER_SAMPLE))
    content = json.loads((folder / MANIFEST).read_text())
    assert content["call"]["builder"] == NETWORK
    assert set(content["shards"]) == {f.name for f in folder.glob("*.safetensors")}
    name, header = min(content["shards"].items())
    # As other readers of the format do.
    start, end = header["0"]["data_offsets"]
    data = (folder / name).read_bytes()
    body = data[8 + int.from_bytes(data[:8], "little") :]
    assert (start, end) == (0, len(body))
    read = torch.frombuffer(bytearray(body), dtype=torch.float64)
    read = read.view(header["0"]["shape"])
    torch.testing.assert_close(read, whole(**PER_SAMPLE)[: len(read)])


@pytest.mark.parametrize(
    ("builder", "options", "said"),
    [
        (NETWORK, {"wrt": 0}, "wrt: 'params' there, 0 here"),
        (NETWORK, {"by": "rows"}, "by: 'samples' there, 'rows' here"),
        ("tests.distributed.builders:other_values", {}, "values: "),
    ],
)
def test_a_folder_of_another_call_is_refused(
    tmp_path: Path, builder: str, options: dict[str, Any], said: str
) -> None:
    folder = tmp_path / "J"
    list(jacengine.blocks(NETWORK, executor=Here(), folder=folder, **PER_SAMPLE))
    before = sorted(folder.iterdir())
    with pytest.raises(ArgumentError, match="another call") as raised:
        jacengine.blocks(
            builder, executor=Here(), folder=folder, **(PER_SAMPLE | options)
        )
    assert said in str(raised.value)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("content", ["", "{}", "[1]", None])
def test_a_folder_without_its_manifest_is_refused(
    tmp_path: Path, content: str | None
) -> None:
    list(jacengine.blocks(NETWORK, executor=Here(), folder=tmp_path, **PER_SAMPLE))
    manifest = tmp_path / MANIFEST
    if content is None:
        manifest.unlink()
    else:
        manifest.write_text(content)
    with pytest.raises(ArgumentError, match="nobody knows what"):
        jacengine.blocks(NETWORK, executor=Here(), folder=tmp_path, **PER_SAMPLE)


def test_a_folder_that_workers_do_not_share(tmp_path: Path) -> None:
    class Elsewhere(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            future = Future[Any]()
            future.set_result(None)
            return future

    pieces = jacengine.blocks(
        NETWORK, executor=Elsewhere(), folder=tmp_path, **PER_SAMPLE
    )
    with pytest.raises(ArgumentError, match="that all of them share"):
        next(pieces)


def test_values_that_differ_in_a_worker(pool: Executor) -> None:
    builder = "tests.distributed.builders:unseeded"
    pieces = jacengine.blocks(builder, executor=pool, **PER_SAMPLE)
    with pytest.raises(ArgumentError, match="Seed what it draws"):
        next(pieces)


def test_an_exception_in_a_worker_names_the_piece(
    pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(builders.VARIABLE, str(os.getpid()))
    late = "tests.distributed.builders:raises_late"
    pieces = jacengine.blocks(late, executor=pool, batch_dim=0, min_pieces=3)
    with pytest.raises(ValueError, match="not in a worker") as raised:
        list(pieces)
    assert raised.value.__notes__ == [
        f"This is from the Jacobian of {late!r} by samples, 0 to 10."
    ]


class Waiting(Executor):
    """Computes nothing, and is interrupted at the first result."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        class Interrupted(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                raise KeyboardInterrupt

        self.futures.append(Interrupted())
        return self.futures[-1]


def test_ctrl_c_cancels_what_is_pending() -> None:
    waiting = Waiting()
    with pytest.raises(KeyboardInterrupt):
        next(jacengine.blocks(NETWORK, executor=waiting, **PER_SAMPLE))
    assert len(waiting.futures) > 2
    assert all(future.cancelled() for future in waiting.futures)


def test_pieces_that_do_not_fit_are_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    of_samples = BlockwiseJacobian._of_samples

    def refusing(self: BlockwiseJacobian, part: slice, budget: int) -> Piece:
        if part.stop - part.start > 4:
            raise MemoryBudgetError("too large")
        return of_samples(self, part, budget)

    monkeypatch.setattr(BlockwiseJacobian, "_of_samples", refusing)
    pieces = jacengine.blocks(NETWORK, executor=Here(), min_pieces=3, **PER_SAMPLE)
    assert len(pieces) == 3
    found = list(pieces)
    torch.testing.assert_close(joined(found, 0), whole(**PER_SAMPLE))
    assert len(found) == len(pieces) == 12


def test_a_single_entry_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(self: BlockwiseJacobian, part: slice, budget: int) -> Piece:
        raise MemoryBudgetError("too large")

    monkeypatch.setattr(BlockwiseJacobian, "_of_samples", refusing)
    with pytest.raises(MemoryBudgetError, match="too large") as raised:
        list(jacengine.blocks(NETWORK, executor=Here(), **PER_SAMPLE))
    assert raised.value.__notes__[0].endswith(", 0 to 1.")


def test_results_in_memory_wait_within_the_budget() -> None:
    budget = whole(**PER_SAMPLE).numel() * 8 // 2
    here = Here()
    pieces = jacengine.blocks(
        NETWORK, executor=here, memory_budget=budget, min_pieces=30, **PER_SAMPLE
    )
    next(pieces)
    assert len(here.parts) == 15  # of 30, of which the budget holds a half
    next(pieces)
    assert len(here.parts) == 16


def test_progress_is_reported() -> None:
    events: list[jacengine.ProgressEvent] = []
    with jacengine.progress(events.append):
        list(jacengine.blocks(NETWORK, executor=Here(), min_pieces=3, **PER_SAMPLE))
    blocks = [event for event in events if event.stage == "blocks"]
    assert [(e.done, e.total) for e in blocks if not e.ended] == [
        (0, 30),
        (10, 30),
        (20, 30),
    ]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: jacengine.blocks(NETWORK), "needs an executor="),
        (
            lambda: cast("Any", jacengine.blocks)(
                NETWORK, torch.ones(3), executor=Here()
            ),
            "the builder returns the arguments",
        ),
        (
            lambda: jacengine.blocks(torch.sin, torch.ones(3), executor=Here()),
            'need a builder "module:function"',
        ),
        (
            lambda: jacengine.blocks(torch.sin, torch.ones(3), folder="J"),
            'need a builder "module:function"',
        ),
        (
            lambda: jacengine.blocks(
                "tests.distributed.builders:no_call", executor=Here()
            ),
            "returned an int; expected",
        ),
        (lambda: jacengine.blocks("nowhere:f", executor=Here()), "cannot be imported"),
        (
            lambda: jacengine.blocks(NETWORK, executor=Here(), create_graph=True),
            "create_graph=True cannot be used",
        ),
        (
            lambda: jacengine.blocks(NETWORK, executor=Here(), layout="csr"),
            'pass layout="values"',
        ),
        (
            lambda: jacengine.blocks(NETWORK, executor=Here(), randomness="same"),
            "numbers of its own",
        ),
        (lambda: jacengine.blocks(NETWORK, executor=Here(), min_pieces=0), "1 or more"),
        (
            lambda: list(
                jacengine.blocks(
                    "tests.distributed.builders:in_a_class",
                    batch_dim=0,
                    executor=Here(),
                )
            ),
            "nest in tuples, lists and dicts",
        ),
    ],
)
def test_calls_that_are_refused(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        call()


def test_dask(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for folder in (None, tmp_path / "J"):
            found = jacengine.blocks(
                NETWORK, executor=client.get_executor(), folder=folder, **PER_SAMPLE
            )
            torch.testing.assert_close(joined(found, 0), whole(**PER_SAMPLE))
