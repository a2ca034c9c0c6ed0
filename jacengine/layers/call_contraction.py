"""How captured calls are contracted: by a rule, or by running a layer again.

Either way it must be known where the samples lie in what a layer takes and returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from jacengine._torchfunc import Tensors, pull_to_edges
from jacengine.layers.hook_capture import CaptureUnit, LayerCall
from jacengine.layers.per_sample_rerun import (
    SampleSplit,
    reproduces,
    rerun,
    separations,
)
from jacengine.layers.rule import Contract, Rule
from jacengine.layers.rules import RULES
from jacengine.layers.sample_axis import Placement, placements, reaches_others
from jacengine.problem.independence import random_cotangent, splits


@dataclass(frozen=True)
class CallContraction:
    """How one call of a unit is contracted.

    Attributes:
        unit: Its unit, and ...
        shapes: ... the shapes of its outputs: to recognise the call by.
        rule: The rule, if the layer has one.
        placement: Where the rule finds the samples.
        separation: How the samples are taken apart, if there is no rule.
        implementations: The name of the implementation in use for each parameter; the
            rule's first for those not named.
    """

    unit: CaptureUnit
    shapes: tuple[tuple[int, ...], ...]
    rule: Rule | None = None
    placement: Placement | None = None
    separation: SampleSplit | None = None
    implementations: tuple[tuple[str, str], ...] = ()

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The parameters with several implementations, and the names of those."""
        if self.rule is None:
            return {}
        forms = {name: self.rule.form(name) for _, name in self.unit.parameters}
        return {
            name: tuple(form.by_name)
            for name, form in forms.items()
            if len(form.implementations) > 1
        }

    def implementation(self, parameter: str) -> Contract:
        """Return the implementation in use for a parameter."""
        assert self.rule is not None
        return self.rule.form(parameter).by_name[self.implementation_name(parameter)]

    def implementation_name(self, parameter: str) -> str:
        """Return the name of the implementation in use for a parameter."""
        assert self.rule is not None
        default = next(iter(self.rule.form(parameter).by_name))
        return dict(self.implementations).get(parameter, default)


def handle(
    visits: Sequence[LayerCall],
    primals: Tensors,
    outputs: Tensors,
    batch_size: int | None,
) -> tuple[list[CallContraction], set[int], bool]:
    """Decide how each call is contracted.

    Returns:
        How; the parameters of the calls that fail; whether no guess is among it.
    """
    rules = [_rule(visit) for visit in visits]
    places, known = _samples(visits, rules, outputs, batch_size)
    handlings: list[CallContraction] = []
    failed: set[int] = set()
    for visit, rule, found in zip(visits, rules, places, strict=True):
        separation = None
        again = rule is None and visit.unit.layer is None
        if again and found is not None and batch_size is not None:
            axes = tuple(placement.at for placement in found)
            separation = _separation(visit, axes, primals, batch_size)
        if found is None or not visit.untouched or (rule or separation) is None:
            failed |= {index for index, _ in visit.unit.parameters}
        else:
            placement = found[0] if rule is not None else None
            handlings.append(
                CallContraction(visit.unit, visit.shapes, rule, placement, separation)
            )
    return handlings, failed, known


def _rule(visit: LayerCall) -> Rule | None:
    """Find the rule for a call: of its layer, and fitting what went in and came out."""
    rule, tensors = RULES.find(visit.module), visit.tensors
    if rule is None or len(tensors) != 1 or len(visit.shapes) != 1:
        return None
    if any(name not in rule.parameters for _, name in visit.unit.parameters):
        return None
    before, after = tuple(tensors[0].shape), visit.shapes[0]
    own_before = rule.axes_in(visit.module, len(before))
    own_after = rule.axes_out(visit.module, len(after))
    same = before[: len(before) - own_before] == after[: len(after) - own_after]
    return rule if same else None


def _samples(
    visits: Sequence[LayerCall],
    rules: Sequence[Rule | None],
    outputs: Tensors,
    batch_size: int | None,
) -> tuple[list[tuple[Placement, ...] | None], bool]:
    """Find where the samples lie in each output of each call; `None`: nowhere.

    Cotangents of some samples must arrive at those samples' positions only.

    Returns:
        The places, and whether they are the only ones that are possible. A layer that
        no cotangent reaches leaves several.
    """
    if batch_size is None:
        nowhere = Placement("none")
        return [(nowhere,) * len(visit.shapes) for visit in visits], True
    own: list[int] = []
    left: list[list[Placement]] = []
    for visit, rule in zip(visits, rules, strict=True):
        for shape in visit.shapes:
            axes = 0 if rule is None else rule.axes_out(visit.module, len(shape))
            lead = shape[: len(shape) - axes]
            kinds = {"axis"} if rule is None else {"axis", "outer", "inner"}
            own.append(axes)
            left.append([p for p in placements(lead, batch_size) if p.kind in kinds])
    edges = [edge for visit in visits for edge in visit.edges]
    generator = torch.Generator().manual_seed(0)
    for chosen in splits(batch_size):
        cotangents = tuple(random_cotangent(o, chosen, generator) for o in outputs)
        found = pull_to_edges(outputs, edges, cotangents, vectorisation="none")
        for i, gradient in enumerate(found):
            if gradient is not None:
                left[i] = [
                    p
                    for p in left[i]
                    if not reaches_others(p, gradient, own[i], chosen)
                ]
    flat = iter(left)
    answer: list[tuple[Placement, ...] | None] = []
    for visit in visits:
        taken = [next(flat) for _ in visit.shapes]
        fits = all(taken) and bool(taken)
        answer.append(tuple(options[0] for options in taken) if fits else None)
    return answer, all(len(options) <= 1 for options in left)


def _separation(
    visit: LayerCall,
    axes: tuple[int, ...],
    primals: Tensors,
    batch_size: int,
) -> SampleSplit | None:
    """Find a way to take a call's samples apart that reproduces its outputs."""
    own = tuple(
        primals[index].detach().requires_grad_() for index, _ in visit.unit.parameters
    )
    for separation in separations(visit, axes, batch_size):
        again = rerun(visit, separation, create_graph=False)
        try:
            outputs = again.outputs(own)
            seeds = [torch.zeros_like(output).unsqueeze(0) for output in outputs]
            again.pull(own, seeds, create_graph=False)
        except (RuntimeError, ValueError, IndexError, TypeError):
            continue  # taken apart like this the layer does not run at all
        if reproduces(visit, separation, outputs):
            return separation
    return None
