"""`jacengine strategies` and `jacengine workloads`: what there is to choose from."""

from __future__ import annotations

import click

from jacengine.api.builtin_registry import broken_plugins, known_strategies
from jacengine.bench.baselines import BASELINES
from jacengine.commands.consoles import aside
from jacengine.commands.listing import LISTS, print_list
from jacengine.commands.param_types import QUANTITY
from jacengine.interface import Contraction, Pushforward, Strategy
from jacengine.problem.quantity import Quantity
from jacengine.sweep.case_spec import CATALOGUE
from jacengine.sweep.catalogue import load_workloads

_FORMAT = click.option(
    "--format", "form", type=click.Choice(LISTS), default="table", show_default=True
)


@click.command("strategies")
@click.option("--peers", is_flag=True, help="List the other libraries instead.")
@QUANTITY
@_FORMAT
def strategies_command(form: str, *, peers: bool, quantity: Quantity) -> None:
    """List the methods: how each works, and when it wins."""
    if peers:
        print_list(
            [
                {
                    "library": baseline.name,
                    "source": baseline.source,
                    "here": baseline.missing() or "installed",
                }
                for baseline in BASELINES
            ],
            form,
        )
        return
    registry = known_strategies()
    print_list(
        [_described(registry.get(name)) for name in registry.names(quantity)], form
    )
    for name, reason in broken_plugins().items():
        aside().print(f"plug-in {name} is broken: {reason}", markup=False)


@click.command("workloads")
@click.option(
    "--catalogue",
    default=CATALOGUE,
    metavar="MODULE:NAME",
    help="Workloads of your own.",
)
@_FORMAT
def workloads_command(catalogue: str, form: str) -> None:
    """List the workloads: what each is, and who takes its Jacobian."""
    print_list(
        [
            {
                "workload": workload.name,
                "sizes": workload.sizes,
                "of": workload.parameter,
                "use": workload.use,
                "origin": workload.origin,
            }
            for workload in load_workloads(catalogue)
        ],
        form,
    )


def _described(strategy: Strategy) -> dict[str, object]:
    return {
        "strategy": strategy.name,
        "direction": _direction(strategy),
        "method": strategy.method,
        "wins with": strategy.wins,
    }


def _direction(strategy: Strategy) -> str:
    if isinstance(strategy, Pushforward):
        return "forward"
    return "by layers" if isinstance(strategy, Contraction) else "reverse"
