"""What the reports in `reports/` say: in full for a page, in short for the README."""

from __future__ import annotations

import re
from functools import cache

from docs.generate.sections import ROOT
from jacengine.report.case import Kind, Report
from jacengine.report.documents import to_markdown
from jacengine.report.formatting import count, ratio
from jacengine.report.peer_comparison import (
    TimeRatios,
    geometric_mean,
    peer_comparisons,
    time_ratios,
)
from jacengine.report.ranking import Ranking
from jacengine.report.results import read_results

_REPORTS = {
    "full": "Every method and library, all sizes, not compiled",
    "compiled": "Small sizes, with compiled plans",
    "parameters": "Parameter Jacobians",
    "second_order": "Second derivatives",
    "sparse": "Sparse Jacobians and Hessians",
    "total_time": "The total time of calls of auto",
    "selector": "The choice of auto",
    "selector_second_order": "The choice of auto, second derivatives",
    "operators": "The operators of PyTorch",
    "programs": "The operators of PyTorch, read as programs",
}
_LIBRARIES = ("torch.func.jacrev", "torch.func.jacfwd", "vmap(jacrev)", "vmap(hessian)")


@cache
def _report(name: str) -> Report:
    return read_results(ROOT / "reports" / name)


def benchmarks() -> str:
    """Quote the beginning of each report: what was measured, and what came out."""
    return "\n\n".join(
        f"## {_REPORTS[name]}\n\n{_beginning(name)}" for name in _REPORTS
    )


def _beginning(name: str) -> str:
    """Return a report's text before its first section, without the title."""
    folder = ROOT / "reports" / name
    [path] = folder.glob("*.md")
    if (folder / "results.json").exists():
        text = to_markdown(_report(name))
    else:
        text = path.read_text(encoding="utf-8")
    title, text = re.split(r"\n## ", text)[0].split("\n", maxsplit=1)
    where = f"All of it: `{path.relative_to(ROOT).as_posix()}`"
    if (folder / "report.html").exists():
        where += f", with figures in `reports/{name}/report.html`"
    finding = title.removeprefix("# ")
    return f"**{finding}.**\n\n{text.strip()}\n\n{where}."


def speed() -> str:
    """State in some sentences how fast `auto` is."""
    machine = _report("full").machine
    return "\n".join(
        (
            f"On {machine.cpu}, {count(machine.cores, 'core')}, PyTorch "
            f"{machine.torch}, geometric means of medians:",
            "",
            *_findings("full", "auto", "Not compiled, all sizes"),
            *_findings("compiled", "compiled", "Compiled, small sizes"),
        )
    )


def _findings(name: str, ours: Kind, title: str) -> list[str]:
    """State the results of `auto`, or of its compiled plans, in one report."""
    rankings = [Ranking(case) for case in _report(name).cases]
    libraries = time_ratios(rankings, "library", ours)
    ahead = sum(factor < 1 for _, factor in libraries)
    least, most = (pick(f for _, f in libraries) for pick in (min, max))
    sentences = [
        f"- {title}: the fastest of the other libraries, which differs from case to "
        f"case, takes {ratio(geometric_mean(libraries))} the time of `auto`. That "
        f"library is faster on {ahead} of {count(len(libraries), 'case')}, by "
        f"{ratio(1 / least)} at most, "
        f"and slower elsewhere, by {ratio(most)} at most."
    ]
    if ours == "auto":
        regrets = time_ratios(rankings, "auto", "strategy")
        sentences += [
            f"- `auto` takes {ratio(geometric_mean(regrets))} the time of the method "
            f"that is best in hindsight, {ratio(_most(regrets))} at most.",
            f"- {_each(rankings)}.",
            f"- {_ahead(rankings)}.",
        ]
    return sentences


def _most(ratios: TimeRatios) -> float:
    return max(factor for _, factor in ratios)


def _each(rankings: list[Ranking]) -> str:
    """Compare with each function of PyTorch, on the cases that both solve."""
    found = [peer for peer in peer_comparisons(rankings) if peer.name in _LIBRARIES]
    each = (
        f"`{peer.name}` {ratio(peer.mean)} on {count(len(peer.ratios), 'case')}"
        for peer in found
    )
    return f"The time of PyTorch's own over that of `auto`: {', '.join(each)}"


def _ahead(rankings: list[Ranking]) -> str:
    """List the methods of other libraries that are faster than `auto` in the mean."""
    found = [peer for peer in peer_comparisons(rankings) if peer.mean < 1]
    each = (
        f"`{peer.name}` {ratio(peer.mean)} on {count(len(peer.ratios), 'case')}"
        for peer in found
    )
    return f"Ahead of `auto`, where they apply: {', '.join(each) or 'none'}"
