"""All scenarios of the contract, in one tuple."""

from tests.contract import (
    scenarios_arguments,
    scenarios_autograd,
    scenarios_convolutions,
    scenarios_functions,
    scenarios_layers,
    scenarios_networks,
    scenarios_operators,
    scenarios_physics,
    scenarios_precision,
    scenarios_selection,
    scenarios_sequences,
    scenarios_sharing,
    scenarios_structures,
)
from tests.contract.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *scenarios_functions.SCENARIOS,
    *scenarios_arguments.SCENARIOS,
    *scenarios_selection.SCENARIOS,
    *scenarios_operators.SCENARIOS,
    *scenarios_autograd.SCENARIOS,
    *scenarios_precision.SCENARIOS,
    *scenarios_physics.SCENARIOS,
    *scenarios_networks.SCENARIOS,
    *scenarios_sequences.SCENARIOS,
    *scenarios_layers.SCENARIOS,
    *scenarios_convolutions.SCENARIOS,
    *scenarios_sharing.SCENARIOS,
    *scenarios_structures.SCENARIOS,
)

assert len({one.name for one in SCENARIOS}) == len(SCENARIOS), "names must be unique"
