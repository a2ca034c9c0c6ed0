"""Reports with known figures."""

from dataclasses import replace

from jacengine.report import Case, Machine, Report, Row

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
