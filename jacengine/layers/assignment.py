"""Which module answers for which parameter, and by what means.

Each parameter starts with the module that owns it. If no rule knows that module, if
capture misses a use of the parameter there, or if the samples cannot be told apart
there, the operators that take it are looked for in the graph. If one of them is not
known either, the module runs again for each sample, or its parent, up to the root. What
not even the root can answer for is pulled through the whole graph, one sample at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import torch
from torch import nn

from jacengine._torchfunc import Tensors, Vectorisation, pull_to_edges
from jacengine.layers.accounting import fingerprint, unaccounted
from jacengine.layers.rerun import Separation, reproduces, rerun, separations
from jacengine.layers.rule import Contract, Rule
from jacengine.layers.rules import RULES
from jacengine.layers.samples import Placement, placements, reaches_others
from jacengine.layers.uses import read_uses
from jacengine.layers.visits import Unit, Visit, capturing
from jacengine.problems.independence import random_cotangent, splits


@dataclass(frozen=True)
class Handling:
    """How one call of a unit is contracted.

    Attributes:
        unit: Its unit, and ...
        shapes: ... the shapes of its outputs: to recognise the call by.
        rule: The rule, if the layer has one.
        placement: Where the rule finds the samples.
        separation: How the samples are taken apart, if there is no rule.
        ways: Which of the rule's ways is taken to each parameter; the first of those
            not named.
    """

    unit: Unit
    shapes: tuple[tuple[int, ...], ...]
    rule: Rule | None = None
    placement: Placement | None = None
    separation: Separation | None = None
    ways: tuple[tuple[str, int], ...] = ()

    def way(self, name: str) -> Contract:
        """Return the contraction of a parameter that is in use."""
        assert self.rule is not None
        return self.rule.form(name).ways[dict(self.ways).get(name, 0)]


@dataclass(frozen=True)
class Assignment:
    """Who answers for what.

    Attributes:
        units: The modules to watch.
        read: Parameters whose uses are read from the graph.
        handlings: How each of their calls is contracted, in the order of the calls.
        whole: Parameters that are pulled through the whole graph.
        vectorisations: How many directions can go through the graph at once; the first
            is in use.
        settled: Whether it is known where the samples lie, so that another pass like
            this one has them there too.
        graph: What such a pass is, if shapes alone do not tell where the samples lie.
    """

    units: tuple[Unit, ...]
    read: frozenset[int]
    handlings: tuple[Handling, ...]
    whole: frozenset[int]
    vectorisations: tuple[Vectorisation, ...]
    settled: bool
    graph: tuple[object, ...] | None

    def covers(
        self, outputs: Tensors, visits: Sequence[Visit], missed: Set[int]
    ) -> bool:
        """Tell whether another forward pass went the same way as the first."""
        if len(visits) != len(self.handlings) or any(
            visit.shapes != handling.shapes or visit.unit != handling.unit
            for visit, handling in zip(visits, self.handlings, strict=True)
        ):
            return False
        if self.graph is not None and self.graph != fingerprint(outputs):
            return False
        return missed <= self.whole


def watched(
    root: nn.Module,
    units: Sequence[Unit],
    read: Set[int],
    function: Callable[..., Tensors],
    primals: Tensors,
) -> tuple[Tensors, list[Visit], set[int]]:
    """Run a module, and see how its parameters are used.

    Args:
        root: The module.
        units: The modules in it to watch.
        read: Which parameters to look for in the graph.
        function: Runs the module with other values of its parameters.
        primals: Those values, tracked.

    Returns:
        The outputs; the calls of the units and the uses that were read; and the
        parameters that have others.
    """
    with capturing(root, units) as visits:
        outputs = function(*primals)
    missed = unaccounted(outputs, primals, visits) - read
    if read:
        uses, unread = read_uses(outputs, primals, read)
        return outputs, [*visits, *uses], missed | unread
    return outputs, visits, missed


def assign(
    root: nn.Module,
    names: Sequence[str],
    primals: Tensors,
    function: Callable[..., Tensors],
    batch_size: int | None,
) -> Assignment:
    """Find a module for every parameter, by trying.

    Args:
        root: The module.
        names: The parameters' names.
        primals: Their values, tracked.
        function: Runs the module with such values.
        batch_size: The number of samples to keep apart, or `None`.
    """
    paths = {i: name.rpartition(".")[0] for i, name in enumerate(names)}
    read = {i for i, path in paths.items() if _readable(root.get_submodule(path))}
    tried = set(read)
    whole: set[int] = set()
    while True:
        units = _units(names, paths, read | whole)
        outputs, visits, missed = watched(root, units, read, function, primals)
        failed = missed - whole
        handlings: list[Handling] = []
        known = True
        if not failed:
            handlings, failed, known = _handle(visits, primals, outputs, batch_size)
        if not failed:
            vectorisations = _vectorisations(outputs, visits)
            plain = batch_size is None or all(_settled(v, batch_size) for v in visits)
            return Assignment(
                units,
                frozenset(read),
                tuple(handlings),
                frozenset(whole),
                vectorisations,
                plain or known,
                None if plain else fingerprint(outputs),
            )
        for index in failed:
            if index in read:
                read.remove(index)
            elif index not in tried:
                read.add(index)
                tried.add(index)
            # Without samples to keep apart there is nothing a parent could do better.
            elif batch_size is None or not paths[index]:
                whole.add(index)
            else:
                paths[index] = paths[index].rpartition(".")[0]


def _readable(module: nn.Module) -> bool:
    """Tell whether the graph may say more than the module: it is no known layer."""
    return RULES.find(module) is None and not isinstance(module, nn.RNNBase)


def _units(
    names: Sequence[str], paths: dict[int, str], others: Set[int]
) -> tuple[Unit, ...]:
    grouped: dict[str, list[tuple[int, str]]] = {}
    for index, path in paths.items():
        if index not in others:
            local = names[index].removeprefix(f"{path}." if path else "")
            grouped.setdefault(path, []).append((index, local))
    return tuple(Unit(path, tuple(members)) for path, members in grouped.items())


def _handle(
    visits: Sequence[Visit],
    primals: Tensors,
    outputs: Tensors,
    batch_size: int | None,
) -> tuple[list[Handling], set[int], bool]:
    """Decide how each call is contracted.

    Returns:
        How; the parameters of the calls that fail; whether no guess is among it.
    """
    rules = [_rule(visit) for visit in visits]
    places, known = _samples(visits, rules, outputs, batch_size)
    handlings: list[Handling] = []
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
                Handling(visit.unit, visit.shapes, rule, placement, separation)
            )
    return handlings, failed, known


def _rule(visit: Visit) -> Rule | None:
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
    visits: Sequence[Visit],
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
    visit: Visit,
    axes: tuple[int, ...],
    primals: Tensors,
    batch_size: int,
) -> Separation | None:
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


def _settled(visit: Visit, batch_size: int) -> bool:
    """Whether each tensor of a call has one place only where samples may lie."""
    shapes = [*visit.shapes, *(tuple(tensor.shape) for tensor in visit.tensors)]
    return all(sum(1 for _ in placements(shape, batch_size)) <= 1 for shape in shapes)


def _vectorisations(
    outputs: Tensors, visits: Sequence[Visit]
) -> tuple[Vectorisation, ...]:
    """List what works on this graph, the likely fastest first."""
    edges = [edge for visit in visits for edge in visit.edges]
    seeds = tuple(torch.zeros_like(o).expand(2, *o.shape) for o in outputs)
    working: list[Vectorisation] = []
    for vectorisation in ("legacy", "vmap"):
        try:
            pull_to_edges(outputs, edges, seeds, vectorisation=vectorisation)
        except (RuntimeError, NotImplementedError):
            continue
        working.append(vectorisation)
    return (*working, "none")
