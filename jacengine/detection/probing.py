"""Patterns by probing: products with random seeds of blocks, ever smaller ones.

A product of J with a random vector of a block of columns is zero in the rows that have
no entry there. Blocks that have no common row share a seed; each is then split, so that
the pattern is found with some colours times the logarithm of its size of products. It
holds at the points that are probed.

Sources: A. Griewank, C. Mitev, "Detecting Jacobian sparsity patterns by Bayesian
probing", 2002; hierarchical detection in CasADi, J. Andersson et al., 2019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors
from jacengine.execution.matvec import matvec
from jacengine.execution.method import Method
from jacengine.interface import Composition
from jacengine.patterns.coloring import color_columns
from jacengine.patterns.pattern import Pattern
from jacengine.problem.bound_function import BoundFunction
from jacengine.problem.call_spec import TensorSpec
from jacengine.problem.problem import Problem
from jacengine.seeding.samples import SamplePolicy
from jacengine.selection.candidates import candidates

SPLIT = 4
"""Parts that a block is split into."""
DENSE = 0.6
"""Share of a coarse pattern from which the matrix is not called sparse ..."""
COARSE = 16
"""... if that has so many blocks."""
SMALL = 64
"""Columns (or rows) up to which a search goes on in any case."""
SEED_BYTES = 2**26
"""Bytes of seeds that are pushed or pulled at a time."""
NEARBY = 2
"""Points near the arguments that are probed too."""
DISTANCE = 0.05
"""How far these are, relative to the root mean square of each argument."""


def probe(
    problem: Problem, bound: BoundFunction, compositions: Sequence[Composition]
) -> Pattern | None:
    """Find the pattern at the arguments, and at random points near them.

    Returns:
        It; `None` if the matrix is dense, or no method computes products with it.
    """
    problem = replace(problem, options=replace(problem.options, layout="flat"))
    for method in candidates(problem, compositions):
        mode = method.capabilities.mode
        if (
            mode not in {"jvp", "vjp"}
            or method.sample_policy is SamplePolicy.COUPLED_ROWS
            or method.strategy.check(problem) is not None
        ):
            continue
        try:
            return _probed(problem, bound, method)
        except Exception:  # noqa: S112 - another method may know the operator
            continue
    return None


def _probed(problem: Problem, bound: BoundFunction, method: Method) -> Pattern | None:
    pushes = method.capabilities.mode == "jvp"
    found: Pattern | None = None
    count = 0
    for number in range(1 + NEARBY):
        there = bound if number == 0 else _nearby(bound, number)
        search = _Search(problem, method)
        pattern = search.run(there)
        count += search.directions
        if pattern is None:
            return None
        found = pattern if found is None else found.union(pattern)
    if found is None:
        return None
    if not pushes:
        found = found.transposed()
    if problem.gradient is not None and found.shape[0] == found.shape[1]:
        found = found.union(found.transposed())
    what = "JVPs" if pushes else "VJPs"
    found.origin = f"found by {count} {what} near the arguments, and not elsewhere"
    return found


def _nearby(bound: BoundFunction, seed: int) -> BoundFunction:
    """Move the arguments that are differentiated a little."""
    generator = torch.Generator().manual_seed(seed)
    leaves = list(bound.leaves)
    for slot in bound.call_spec.slots:
        leaf: Tensor = leaves[slot].detach()
        scale = leaf.double().square().mean().sqrt().nan_to_num(nan=0.0)
        noise = torch.randn(
            leaf.shape, generator=generator, dtype=torch.float64, device="cpu"
        )
        moved = leaf.cpu().double() + DISTANCE * float(scale) * noise
        leaves[slot] = moved.to(leaf)
    return bound.at(leaves)


@dataclass
class _Search:
    """A search with one method, which counts directions.

    Attributes:
        problem: What is differentiated.
        method: How products are computed.
        directions: Directions so far.
    """

    problem: Problem
    method: Method
    directions: int = 0

    def run(self, bound: BoundFunction) -> Pattern | None:
        """Find the pattern: `(products' entries, seeds' entries)`."""
        problem = self.problem
        pushes = self.method.capabilities.mode == "jvp"
        seeded, shown = problem.inputs, problem.outputs
        if not pushes:
            seeded, shown = shown, seeded
        n, m = (sum(s.size for s in specs) for specs in (seeded, shown))
        width = 1
        while width < n:
            width *= SPLIT
        rows = torch.arange(m, device="cpu")
        blocks = torch.zeros_like(rows)
        while width > 1:
            width //= SPLIT
            coloring = color_columns((m, -(-n // (width * SPLIT))), rows, blocks)
            nonzero = self._products(bound, seeded, coloring.colors, width, n)
            part = torch.arange(SPLIT, device="cpu").repeat(len(rows))
            row, block = (t.repeat_interleave(SPLIT) for t in (rows, blocks))
            color = coloring.color.repeat_interleave(SPLIT)
            there = nonzero[color * SPLIT + part, row]
            rows, blocks = row[there], (block * SPLIT + part)[there]
            count = -(-n // width)
            dense = rows.numel() > DENSE * m * count and count >= COARSE
            if dense or (self.directions > n > SMALL):
                return None
        return Pattern((m, n), rows, blocks)

    def _products(
        self,
        bound: BoundFunction,
        specs: Sequence[TensorSpec],
        colors: Tensor,
        width: int,
        size: int,
    ) -> Tensor:
        """Tell which entries of the products with each part of a colour are not 0."""
        generator = torch.Generator().manual_seed(width)
        entry = torch.arange(size, device="cpu")
        color = colors[entry // (width * SPLIT)]
        direction = color * SPLIT + (entry // width) % SPLIT
        values = 0.5 + torch.rand(
            size, generator=generator, dtype=torch.float32, device="cpu"
        )
        count = (int(colors.max()) + 1) * SPLIT
        self.directions += count
        step = max(1, SEED_BYTES // (8 * max(1, size)))
        found: list[Tensor] = []
        for first in range(0, count, step):
            taken = min(step, count - first)
            inside = (direction >= first) & (direction < first + taken)
            where = (inside & (color >= 0)).nonzero().flatten()
            flat = torch.zeros(taken, size, dtype=torch.float32, device="cpu")
            flat[direction[where] - first, where] = values[where]
            products = self._multiply(bound, specs, flat)
            found.append(products)
        return torch.cat(found)

    def _multiply(
        self, bound: BoundFunction, specs: Sequence[TensorSpec], flat: Tensor
    ) -> Tensor:
        parts = flat.split([spec.size for spec in specs], dim=1)
        batch, pushes = self.problem.batch_size, self.method.capabilities.mode == "jvp"
        seeds: list[Tensor] = []
        for part, spec in zip(parts, specs, strict=True):
            seed = part.to(spec.device, spec.dtype).reshape(-1, *spec.shape)
            if batch is not None and not (pushes and spec.batch_dim is None):
                seed = seed.unsqueeze(1).expand(-1, batch, *spec.shape)
            seeds.append(seed)
        products = matvec(self.problem, bound, self.method, tuple(seeds))
        return _nonzero(products, 1 if batch is None else batch)


def _nonzero(products: Tensors, samples: int) -> Tensor:
    """Tell which entries are not zero for some sample; `nan` is not known to be."""
    flat = [p.detach().reshape(p.shape[0], samples, -1) for p in products]
    together = torch.cat(flat, dim=2)
    there = (together != 0) & ~together.isnan()
    return there.any(dim=1).cpu()
