"""`jacengine strategies` and `jacengine workloads`: lists of what is available."""

from __future__ import annotations

import click

from jacengine.api.strategies import broken_plugins, known_strategies
from jacengine.bench.baselines import BASELINES
from jacengine.commands.output import messages, print_records
from jacengine.commands.param_types import (
    CATALOGUE_OPTION,
    LIST_FORMAT_OPTION,
    QUANTITIES,
)
from jacengine.interface import Capabilities
from jacengine.problem.quantity import Quantity
from jacengine.sweep.catalogue import load_workloads


@click.command("strategies")
@click.option("--peers", is_flag=True, help="List the other libraries instead.")
@click.option(
    "--quantity",
    type=QUANTITIES,
    default="jacobian",
    help="List the methods of this quantity.",
)
@LIST_FORMAT_OPTION
def strategies_command(form: str, *, peers: bool, quantity: Quantity) -> None:
    """List the methods: how each works, and when it is the fastest."""
    registry = known_strategies()
    if peers:
        records = [
            {
                "library": baseline.name,
                "source": baseline.source,
                "here": baseline.missing() or "installed",
            }
            for baseline in BASELINES
        ]
    else:
        records = [
            {
                "strategy": strategy.name,
                "direction": _direction(strategy.capabilities),
                "method": strategy.summary,
                "wins with": strategy.wins,
            }
            for strategy in map(registry.get, registry.names(quantity))
        ]
    print_records(records, form)
    for name, reason in broken_plugins().items():
        messages().print(f"plug-in {name} is broken: {reason}", markup=False)


@click.command("workloads")
@CATALOGUE_OPTION
@LIST_FORMAT_OPTION
def workloads_command(catalogue: str, form: str) -> None:
    """List the workloads: what each is, and who takes its Jacobian."""
    records = [
        {
            "workload": workload.name,
            "sizes": workload.sizes,
            "of": workload.parameter,
            "use": workload.use,
            "origin": workload.origin,
        }
        for workload in load_workloads(catalogue)
    ]
    print_records(records, form)


def _direction(able: Capabilities) -> str:
    if able.per_sample_shared:
        return "by layers"
    if able.mode == "direct":
        return "direct"
    return "reverse" if able.mode == "vjp" else "forward"
