"""How captured calls are contracted: by a rule, or by a rerun for each sample.

Either way the sample axis of the layer's inputs and outputs must be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from jacengine._torchfunc import Tensors, pull_to_edges
from jacengine.layers.hook_capture import CaptureUnit, LayerCall
from jacengine.layers.per_sample_rerun import (
    SampleSplit,
    candidate_splits,
    make_rerun,
    reproduces,
)
from jacengine.layers.rule import BlockContraction, Rule
from jacengine.layers.rules import RULES
from jacengine.layers.sample_axis import (
    SampleAxis,
    candidate_axes,
    reaches_other_samples,
)
from jacengine.problem.independence import random_cotangent, splits


@dataclass(frozen=True)
class CallContraction:
    """How one call, recognised by its unit and its outputs' shapes, is contracted.

    Attributes:
        rule: The rule, if the layer has one; then there is a `sample_axis`.
        split: How to split the samples for a rerun, if there is no rule.
        implementations: The name of the implementation in use for each parameter; the
            rule's first for those not named.
    """

    unit: CaptureUnit
    shapes: tuple[tuple[int, ...], ...]
    rule: Rule | None = None
    sample_axis: SampleAxis | None = None
    split: SampleSplit | None = None
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

    def implementation(self, parameter: str) -> BlockContraction:
        """Return the implementation in use for a parameter."""
        assert self.rule is not None
        form, chosen = self.rule.form(parameter), dict(self.implementations)
        if parameter in chosen:
            return form.by_name[chosen[parameter]]
        return form.implementations[0]


def plan_calls(
    calls: Sequence[LayerCall],
    primals: Tensors,
    outputs: Tensors,
    batch_size: int | None,
) -> tuple[list[CallContraction], set[int], bool]:
    """Decide how each call is contracted.

    Returns:
        The contractions; the parameters of calls that cannot be contracted; and whether
        every sample axis was determined.
    """
    rules = [_rule(call) for call in calls]
    axes, known = _sample_axes(calls, rules, outputs, batch_size)
    contractions: list[CallContraction] = []
    failed: set[int] = set()
    for call, rule, found in zip(calls, rules, axes, strict=True):
        split = None
        again = rule is None and call.unit.layer is None
        if again and found is not None and batch_size is not None:
            split = _split(call, tuple(axis.at for axis in found), primals, batch_size)
        if found is None or not call.inputs_unchanged or (rule or split) is None:
            failed |= {index for index, _ in call.unit.parameters}
        else:
            axis = found[0] if rule is not None else None
            contractions.append(
                CallContraction(call.unit, call.shapes, rule, axis, split)
            )
    return contractions, failed, known


def _rule(call: LayerCall) -> Rule | None:
    """Find the rule of a call's layer, if it fits the input and the output."""
    rule, tensors = RULES.find(call.module), call.tensors
    if rule is None or len(tensors) != 1 or len(call.shapes) != 1:
        return None
    if any(name not in rule.parameters for _, name in call.unit.parameters):
        return None
    before, after = tuple(tensors[0].shape), call.shapes[0]
    own_before = rule.axes_in(call.module, len(before))
    own_after = rule.axes_out(call.module, len(after))
    same = before[: len(before) - own_before] == after[: len(after) - own_after]
    return rule if same else None


def _sample_axes(
    calls: Sequence[LayerCall],
    rules: Sequence[Rule | None],
    outputs: Tensors,
    batch_size: int | None,
) -> tuple[list[tuple[SampleAxis, ...] | None], bool]:
    """Find the sample axis of each output of each call; `None`: there is none.

    Cotangents of some samples must reach those samples' positions only.

    Returns:
        The axes, and whether they are the only candidates. A layer that no cotangent
        reaches leaves several.
    """
    if batch_size is None:
        return [(SampleAxis("none"),) * len(call.shapes) for call in calls], True
    own: list[int] = []
    left: list[list[SampleAxis]] = []
    for call, rule in zip(calls, rules, strict=True):
        for shape in call.shapes:
            axes = 0 if rule is None else rule.axes_out(call.module, len(shape))
            kinds = {"axis"} if rule is None else {"axis", "outer", "inner"}
            every = candidate_axes(shape[: len(shape) - axes], batch_size)
            own.append(axes)
            left.append([axis for axis in every if axis.kind in kinds])
    edges = [edge for call in calls for edge in call.edges]
    generator = torch.Generator().manual_seed(0)
    for chosen in splits(batch_size):
        cotangents = tuple(random_cotangent(o, chosen, generator) for o in outputs)
        found = pull_to_edges(outputs, edges, cotangents, vectorisation="none")
        for i, gradient in enumerate(found):
            if gradient is not None:
                left[i] = [
                    axis
                    for axis in left[i]
                    if not reaches_other_samples(axis, gradient, own[i], chosen)
                ]
    flat = iter(left)
    first: list[tuple[SampleAxis, ...] | None] = []
    for call in calls:
        taken = [next(flat) for _ in call.shapes]
        fits = all(taken) and bool(taken)
        first.append(tuple(options[0] for options in taken) if fits else None)
    return first, all(len(options) <= 1 for options in left)


def _split(
    call: LayerCall, axes: tuple[int, ...], primals: Tensors, batch_size: int
) -> SampleSplit | None:
    """Find a split of a call's samples that reproduces its outputs."""
    indices = [index for index, _ in call.unit.parameters]
    own = tuple(primals[index].detach().requires_grad_() for index in indices)
    for split in candidate_splits(call, axes, batch_size):
        again = make_rerun(call, split, create_graph=False)
        seeds = {
            i: torch.zeros_like(output).movedim(axes[i], 0).unsqueeze(0)
            for i, output in enumerate(call.outputs)
        }
        try:
            outputs, _ = again(own, seeds)
        except (RuntimeError, ValueError, IndexError, TypeError):
            continue  # split like this the layer does not run at all
        if reproduces(call, split, outputs):
            return split
    return None
