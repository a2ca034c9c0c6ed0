"""Data sets of scikit-learn, or random numbers of their shape if it is missing.

The cost of a Jacobian depends on the sizes, hardly on the values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jacengine.bench.optional_libraries import installed, load


def diabetes() -> Tensor:
    """Return 442 patients' 10 features, scaled to unit variance."""
    if not installed("sklearn"):
        return torch.randn(442, 10)
    features = torch.from_numpy(load("sklearn.datasets").load_diabetes().data).float()
    return features / features.std(0)


def digits() -> Tensor:
    """Return 1797 images of handwritten digits, 64 grey values from 0 to 1 each."""
    if not installed("sklearn"):
        return torch.rand(1797, 64)
    return torch.from_numpy(load("sklearn.datasets").load_digits().data).float() / 16


def digit_labels() -> Tensor:
    """Return the digit of each image, from 0 to 9."""
    if not installed("sklearn"):
        return torch.randint(10, (1797,))
    return torch.from_numpy(load("sklearn.datasets").load_digits().target).long()
