"""The questions that the tests of the benchmark ask."""

from dataclasses import replace

import torch

from jacengine.bench.workload import Question, Workload
from jacengine.problem.quantity import SECOND_ORDER

FEW = 4
"""Samples that a second derivative is tried on: loops over them nest one deeper."""


def exact(workload: Workload) -> Question:
    """Build the tiny size in float64."""
    question = workload.build(workload.tiny).to(dtype=torch.float64)
    if question.quantity not in SECOND_ORDER or question.batch_dim is None:
        return question
    return replace(question, args=tuple(arg[:FEW] for arg in question.args))
