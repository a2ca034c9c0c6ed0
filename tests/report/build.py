"""Reports with known figures, all of them made up."""

import random
from dataclasses import replace
from html.parser import HTMLParser

from jacengine.report import Case, Machine, Report, Row
from jacengine.report.case import Kind
from jacengine.report.ranking import Ranking
from jacengine.report.scaling import Series, workload_series

MACHINE = Machine(
    cpu="Example 9000",
    cores=2,
    memory_bytes=8 * 10**9,
    gpu="",
    system="Linux x86_64",
    python="3.11.7",
    torch="2.13.0",
    threads=2,
    instructions="AVX2",
    matmul_precision="highest",
    jacengine="0.1.0",
    commit="0123456789ab",
    dirty=False,
    load=0.1,
    date="2026-01-02 03:04 UTC",
)

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "</style></title></svg><b>",
    "[red]x[/red] [/nope] [bold",
    '=cmd()|"/c calc"!A1',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1+1",
    "😀👩\N{ZERO WIDTH JOINER}🚀",
    "x" * 500,
    "two\nlines | and ` a pipe\r\n# heading",
    "\x1b[31mred\x07\x00",
    "$x_1$ {{ 7 * 7 }} {% raw %} & &amp;",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "\ud800",
    "",
    "![a](javascript:alert(1)) [b](http://evil.example) <http://evil.example>",
    'a" onload="alert(1)',
    "back\\slash\\",
)


def ok(
    strategy: str, time_s: float | None, peak: int | None = None, chunk: int = 1
) -> Row:
    return Row(
        strategy,
        "ok",
        chunk_size=chunk,
        forward_passes=1,
        backward_passes=2,
        time_s=time_s,
        first_s=time_s,
        runs=3,
        predicted_bytes=peak,
        peak_bytes=peak,
        error=1e-7,
    )


def case(name: str, *rows: Row) -> Case:
    return Case(
        name,
        f"What {name} is.",
        rows,
        outputs=3,
        inputs=4,
        samples=5,
        result_bytes=240,
        selection_s=0.5,
    )


def report(
    *cases: Case, planned: int | None = None, machine: Machine = MACHINE
) -> Report:
    return Report(cases, machine, "python -m example", planned or len(cases))


def example() -> Report:
    """Three problems, two winners, every kind of outcome."""
    return report(
        case(
            "first",
            ok("fast", 0.001, 4000),
            ok("fast", 0.002, 1000, chunk=7),
            ok("reverse_loop", 0.008, 500),
            Row("broken", "wrong", "off by 1.0e-01", time_s=0.0005),
            Row("picky", "unsupported", "no batching rule"),
        ),
        case(
            "second",
            ok("reverse_loop", 0.030, 900),
            ok("fast", 0.010, 800),
            ok("picky", 0.0102, 700),
            Row("broken", "over_budget", "needs 3.0 GB", predicted_bytes=3 * 10**9),
        ),
        case(
            "third",
            ok("picky", 0.1, 300),
            ok("fast", 0.8, 200),
            Row("reverse_loop", "skipped", "stopped: too slow to win", time_s=2.0),
            Row("broken", "oom", "refused"),
        ),
    )


def hostile() -> Report:
    """Foreign text everywhere that it can be."""
    cases = [
        Case(name, name, (ok(name, 0.001, 100), Row(name + "2", "error", name)), 1, 1)
        for name in HOSTILE
    ]
    cases += [Case(name, name, failure=name) for name in HOSTILE]
    machine = replace(MACHINE, cpu=HOSTILE[0], gpu=HOSTILE[1], commit=HOSTILE[3])
    return Report(tuple(cases), machine, HOSTILE[2], len(cases))


STRATEGIES = {
    "reverse_loop": (8.0, 1.3, 1.1),
    "batched_grad": (1.6, 1.1, 2.0),
    "vmap_vjp": (1.5, 1.1, 2.0),
    "vmap_jvp": (0.7, 1.3, 2.5),
    "forward_dual": (6.0, 1.5, 1.05),
    "quasi_linear": (1.1, 0.95, 1.4),
}
LIBRARIES = {
    "double loop": (30.0, 1.6, 1.1),
    "functional.jacobian(vectorize)": (2.6, 1.2, 2.6),
    "torch.func.jacrev": (2.2, 1.2, 2.4),
    "vmap(jacrev)": (1.9, 1.1, 2.2),
    "vmap(jacfwd)": (1.0, 1.35, 2.6),
    "backpack.BatchGrad": (2.4, 1.0, 1.6),
    "opacus": (3.1, 1.0, 1.8),
    "jax.jit(vmap(jacrev))": (1.2, 1.15, 0.0),
}
WORKLOADS = 22
SIZES = (10, 100, 1000)


def sweep(workloads: int = WORKLOADS, sizes: tuple[int, ...] = SIZES) -> Report:
    """Make up a whole sweep: every section of the report has something to show."""
    drawn = random.Random(4)
    cases = [
        case
        for number in range(workloads)
        for case in _sized(f"workload_{number:02}", sizes, drawn)
    ]
    machine = replace(MACHINE, libraries="jax 0.9, opacus 1.5")
    return replace(report(*cases, machine=machine), fill_rate=8e9, matmul_rate=1e11)


def _sized(name: str, sizes: tuple[int, ...], drawn: random.Random) -> list[Case]:
    methods = {**STRATEGIES, **LIBRARIES}
    luck = {
        method: drawn.lognormvariate(0.6 if method in LIBRARIES else 0, 0.4)
        for method in methods
    }
    fate = {method: drawn.random() for method in methods}
    start = drawn.lognormvariate(-10, 1)
    return [
        Case(
            f"{name}[{size}]",
            f"The made-up workload {name}.",
            _made_up(size, start, luck, fate, drawn),
            outputs=10,
            inputs=size,
            samples=100,
            result_bytes=4000 * size,
            workload=name,
            size=size,
            parameter="samples",
            origin="made up for these tests",
            dtype="float32",
            device="cpu",
            threads=2,
            unstable=drawn.random() < 0.05,
            budget_bytes=2 * 10**7,
        )
        for size in sizes
    ]


def _made_up(
    size: int,
    start: float,
    luck: dict[str, float],
    fate: dict[str, float],
    drawn: random.Random,
) -> tuple[Row, ...]:
    rows: list[Row] = []
    for method, (cost, power, memory) in {**STRATEGIES, **LIBRARIES}.items():
        kind: Kind = "strategy" if method in STRATEGIES else "library"
        time_s = start * cost * luck[method] * (0.5 + (size / 10) ** power)
        peak = int(4000 * size * memory) + 3000 if memory else None
        if method == "opacus":
            reason = "opacus is not installed; make peers"
            rows.append(Row(method, "skipped", reason, kind=kind))
        elif fate[method] < 0.05 and kind == "library":
            rows.append(Row(method, "wrong", "off by 3.1e-02", 1, kind=kind))
        elif fate[method] < 0.2 and method != "reverse_loop":
            reason = f"no rule for aten::made_up_{len(method)}"
            rows.append(Row(method, "unsupported", reason, kind=kind))
        elif time_s > 40 * start * size:
            row = ok(method, time_s, peak)
            rows.append(
                replace(row, outcome="skipped", kind=kind, runs=0, notes="slow")
            )
        else:
            times = tuple(time_s * drawn.lognormvariate(0, 0.02) for _ in range(7))
            row = ok(method, sorted(times)[3], peak)
            flops = 10**4 * size
            rows.append(replace(row, kind=kind, times=times, flops=flops, runs=7))
    right = [row for row in rows if row.outcome == "ok" and row.kind == "strategy"]
    ours = min(right, key=lambda row: row.time_s or 0.0)
    slower = 1.0 if drawn.random() < 0.85 else drawn.uniform(1.0, 1.5)
    times = tuple(slower * time * drawn.lognormvariate(0, 0.005) for time in ours.times)
    auto = replace(ours, strategy="auto", kind="auto", picked=ours.strategy)
    rows.append(replace(auto, times=times, time_s=sorted(times)[3]))
    return tuple(rows)


def hostile_sweep() -> Report:
    """Put foreign text wherever a sweep has some."""
    cases = [
        Case(
            f"{name}[{size}]",
            name,
            (
                replace(ok(name, 0.001 * size, 100), picked=name),
                replace(ok("auto", 0.001 * size), kind="auto", picked=name),
                replace(ok(f"{name} too", 0.002, 90), kind="library"),
                Row(f"{name} no", "wrong", name, kind="library"),
                Row(f"{name} not", "unsupported", name, kind="library"),
            ),
            result_bytes=10,
            workload=name or "w",
            size=size,
            parameter=name,
            origin=name,
            dtype=name,
            device=name,
        )
        for name in HOSTILE
        for size in (1, 5)
    ]
    return replace(report(*cases), fill_rate=1e9, command=HOSTILE[2])


REPORTS = {
    "example": example(),
    "hostile": hostile(),
    "empty": report(planned=3),
    "sweep": sweep(4),
    "one size": sweep(2, (10,)),
    "hostile sweep": hostile_sweep(),
}


class Page(HTMLParser):
    """Collects the text, the tags and the attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in {"meta", "wbr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["script"], ["style"]):
            self.text += data


def workload(name: str, times: dict[str, tuple[float, ...]], **setting: str) -> Series:
    """Make up a workload at sizes 1, 10, 100 from the times of some methods."""
    cases = [
        Case(
            f"{name}[{10**place}]",
            "",
            tuple(ok(method, each[place]) for method, each in times.items()),
            workload=name,
            size=10**place,
            parameter="samples",
            **setting,  # type: ignore[arg-type]
        )
        for place in range(len(next(iter(times.values()))))
    ]
    [found] = workload_series([Ranking(each) for each in cases])
    return found


def auto(time_s: float) -> Row:
    return replace(ok("auto", time_s), kind="auto", picked="fast")


def library(name: str, time_s: float) -> Row:
    return replace(ok(name, time_s), kind="library")


def sized(workload: str, size: int, *rows: Row) -> Case:
    found = case(f"{workload}[{size}]", *rows)
    return replace(found, workload=workload, size=size, parameter="samples")


LOSING = report(
    sized("mlp", 1, ok("fast", 1.0), auto(1.0), library("torch", 3.0)),
    sized("mlp", 10, ok("fast", 10.0), auto(10.2), library("torch", 20.0)),
    sized("conv", 1, ok("fast", 1.0), auto(1.5), library("torch", 1.0)),
    sized("lstm", 1, ok("fast", 1.0), auto(1.0), Row("torch", "wrong", kind="library")),
)


def timed(times: list[tuple[float, float, float]]) -> Report:
    """Make up cases from the times of a strategy, of `auto` and of a library."""
    return report(
        *(
            case(f"p{i}", ok("fast", ours), auto(chosen), library("torch", theirs))
            for i, (ours, chosen, theirs) in enumerate(times)
        )
    )


def without(found: Report, kind: str) -> Report:
    """Remove the methods of a kind from a report."""
    cases = [
        replace(each, rows=tuple(row for row in each.rows if row.kind != kind))
        for each in found.cases
    ]
    return replace(found, cases=tuple(cases))
