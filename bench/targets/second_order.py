"""What second derivatives are held to, work by work."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

import jacengine
from jacengine.bench.baselines import BASELINES
from jacengine.bench.targets.contest import (
    LIBRARIES,
    Claim,
    Contest,
    Entrant,
    enter,
)
from jacengine.bench.targets.target import COMPILED, PLAN, Family, Target
from jacengine.bench.workload import Question, Workload
from jacengine.bench.workloads import WORKLOADS
from jacengine.problem.quantity import SECOND_ORDER, TITLES

TORCHS = "best of PyTorch's"
"""In a claim: the fastest of what PyTorch offers whose result is right."""
MAPPED = "vmap(hessian)"
"""Of a Laplacian, the trace of it is taken."""
THREE = (
    "torch.func.hessian",
    MAPPED,
    "functional.hessian",
    "functional.hessian(vectorize)",
)
"""What PyTorch offers to who asks it for a Hessian."""


def _held(
    workload: Workload, dtype: torch.dtype, claims: tuple[Claim, ...], size: int
) -> Contest:
    """Compute what a workload asks for, against everybody else."""
    question = workload.build(size).to(dtype=dtype)
    plan = _plan(question)
    compiled = _plan(question, compiled=True)
    entrants, out = enter(BASELINES, workload, size, question, plan(*question.args))
    libraries = tuple(entrants)
    entrants[PLAN] = Entrant(lambda: plan(*question.args))
    entrants[COMPILED] = Entrant(lambda: compiled(*question.args))
    groups = {LIBRARIES: libraries, TORCHS: THREE}
    asked = {
        name: reason
        for name, reason in out.items()
        if not reason.startswith(f"cannot: no {question.quantity}: ")
    }
    return Contest(entrants, claims, groups, asked)


def _plan(question: Question, *, compiled: bool = False) -> jacengine.Plan:
    return jacengine.plan(
        question.fn,
        *question.args,
        wrt=question.wrt,
        batch_dim=question.batch_dim,
        quantity=question.quantity,
        compiled=compiled,
    )


def _contest(
    workload: Workload, *claims: Claim, dtype: torch.dtype = torch.float32
) -> Callable[[int], Contest]:
    return functools.partial(_held, workload, dtype, claims)


NOT_SLOWER = Claim(TORCHS, PLAN, 1.0, at_least=True)
FIRST = Claim(LIBRARIES, COMPILED, 1.0, at_least=True)
"""Against everybody, JAX's compiled code among them."""
FOURFOLD = Claim(MAPPED, PLAN, 4.0, at_least=True)


def _targets(workload: Workload) -> list[Target]:
    """Hold a workload to its targets at two sizes."""
    title = TITLES[workload.build(workload.tiny).quantity]
    work = f"{title} of {workload.name}"
    *_, symbol = workload.parameter.split()
    return [
        Target(
            f"{workload.name}_{size}",
            work,
            size,
            _contest(workload, NOT_SLOWER, FIRST),
            symbol,
        )
        for size in workload.sizes[:2]
    ]


_ASKED = [w for w in WORKLOADS if w.build(w.tiny).quantity in SECOND_ORDER]
_PERCEPTRON = next(w for w in _ASKED if w.name == "mlp_laplacian")

FAMILY = Family(
    "second_order",
    "Second derivatives",
    (
        Target(
            "laplacian",
            "Laplacian of MLP d-128-128-1, B=64",
            32,
            _contest(_PERCEPTRON, FOURFOLD),
            "d",
        ),
        Target(
            "laplacian_float64",
            "the same in float64",
            32,
            _contest(_PERCEPTRON, FOURFOLD, dtype=torch.float64),
            "d",
        ),
        *(target for workload in _ASKED for target in _targets(workload)),
    ),
    "Of libraries that give whole Hessians the trace or diagonal is taken. A library "
    "counts if its result agrees with jacengine's, which is verified against plain "
    "reverse mode over reverse mode.",
    ("folx", "jax"),
)
"""Laplacians, Hessians and their diagonals, on every workload that has them."""
