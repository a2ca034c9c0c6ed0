"""Each operator in a process of its own; crashes and hangs belong to a case."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

from jacengine.bench.operators.trial import DERIVATIVES, Case, Trial, What

_Message = Case | Trial


def trials(
    operators: Iterable[str],
    *,
    count: int,
    jobs: int,
    timeout_s: float,
    kinds: Sequence[What] = DERIVATIVES,
) -> Iterator[list[Trial]]:
    """Try operators, several at a time.

    Args:
        operators: Their names.
        count: How many samples of each to try.
        jobs: How many processes run at a time.
        timeout_s: Seconds after which a case counts as hanging.
        kinds: What is computed.

    Yields:
        The trials of each operator, in the order of their names.
    """
    # A server that has imported torch forks the children: importing again and again
    # would take longer than the trials.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "jacengine.bench.operators.samples"])

    def run(operator: str) -> list[Trial]:
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(sender, operator, count, kinds))
        child.start()
        sender.close()
        found = _received(receiver, timeout_s, Case(operator, -1, kinds[0], ()))
        child.kill()
        child.join()
        return found

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(run, operators)


def _received(receiver: Connection, timeout_s: float, case: Case) -> list[Trial]:
    """Collect trials until the child says that it is done, ends or hangs."""
    found: list[Trial] = []
    while True:
        if not receiver.poll(timeout_s):
            return [*found, Trial(case, "hang", f"no end within {timeout_s:g} s")]
        try:
            message: _Message | None = receiver.recv()
        except EOFError:
            return [*found, Trial(case, "crash", "the process ended")]
        if message is None:
            return found
        if isinstance(message, Case):
            case = message
        else:
            found.append(message)


def _child(
    sender: Connection, operator: str, count: int, kinds: Sequence[What]
) -> None:
    # Imported here: the parent needs no samples.
    import torch  # noqa: PLC0415

    from jacengine.bench.operators.samples import samples  # noqa: PLC0415
    from jacengine.bench.operators.trial import attempt, cases  # noqa: PLC0415

    torch.set_num_threads(1)
    for sample in samples(operator, count):
        for case in cases(sample, kinds):
            sender.send(case)
            sender.send(attempt(sample, case))
    sender.send(None)
