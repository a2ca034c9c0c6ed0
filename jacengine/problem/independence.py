"""Are the samples of a batch really independent?

A cotangent on some samples must pull back to exactly zero on all others. With one split
of the batch for each bit of the sample's index, and both sides of it, every pair of
samples is separated by some split: `2 * ceil(log2 B)` plain VJPs find any coupling
that acts at this point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from jacengine._torchfunc import Tensors, pull
from jacengine.tolerance import TOLERANCES


def splits(batch_size: int) -> Iterator[Tensor]:
    """Yield masks over samples such that every ordered pair is split by one."""
    index = torch.arange(batch_size, device="cpu")
    for bit in range(max(batch_size - 1, 0).bit_length()):
        chosen = (index >> bit) & 1 == 1
        yield chosen
        yield ~chosen


def random_cotangent(
    output: Tensor, chosen: Tensor, generator: torch.Generator
) -> Tensor:
    """Draw a cotangent of an output that is zero outside the chosen samples."""
    drawn = (
        torch.rand(output.shape, generator=generator, dtype=torch.float32, device="cpu")
        + 0.5
    )
    mask = chosen.view(-1, *[1] * (output.dim() - 1))
    return (drawn * mask).to(output)


def coupled_by_vjp(outputs: Tensors, inputs: Tensors, batch_size: int) -> bool:
    """Tell whether some output sample depends on another sample of some input.

    Args:
        outputs: Each `(B, *out)`, with a graph that leads to the inputs.
        inputs: Each `(B, *in)`.
        batch_size: The number of samples `B`.
    """
    generator = torch.Generator().manual_seed(0)
    for chosen in splits(batch_size):
        cotangents = tuple(random_cotangent(o, chosen, generator) for o in outputs)
        for gradient in pull(outputs, inputs, cotangents):
            others = gradient[~chosen.to(gradient.device)]
            # A NaN says that the sample itself has no derivative, not that it is
            # coupled: zero times infinity is NaN too.
            if bool((others.nan_to_num(nan=0.0) != 0).any()):
                return True
    return False


def coupled_by_value(
    outputs: Tensors, run: Callable[[Tensor], Tensors], batch_size: int
) -> bool:
    """Tell whether outputs change when other samples are left out.

    For functions without a floating-point input (token indices), where there is
    nothing to pull back to.

    Args:
        outputs: Each `(B, *out)`.
        run: Evaluates the function on the samples with these indices.
        batch_size: The number of samples `B`.
    """
    for chosen in splits(batch_size):
        index = chosen.nonzero().flatten()
        for whole, part in zip(outputs, run(index), strict=True):
            rows = whole.detach()[index.to(whole.device)]
            tolerance = TOLERANCES[whole.dtype].value
            if part.shape != rows.shape or not torch.allclose(
                part.detach(), rows, rtol=tolerance, atol=tolerance, equal_nan=True
            ):
                return True
    return False
