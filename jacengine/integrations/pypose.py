"""PyPose: a drop-in for `pypose.optim.functional.modjac`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from jacengine.api.auto import auto
from jacengine.errors import ArgumentError, OutputTypeError

MODES = ("reverse-mode", "forward-mode")
"""The values of `strategy` that `pypose.optim.functional.modjac` knows."""


def modjac(  # noqa: PLR0917 - as PyPose passes them
    model: nn.Module,
    input: Any = None,  # noqa: A002 - PyPose's name
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
    flatten: bool = False,
) -> Any:
    """Compute the Jacobian of a model by all of its parameters, as PyPose's `modjac`.

    Put it in the place of the name that PyPose's optimizers call:
    `pypose.optim.optimizer.modjac = modjac`. The method is chosen and verified once for
    a model and its inputs, as by `jacengine.auto`. A Jacobian by a Lie group element is
    PyPose's own: as wide as the element, by the tangent space, padded by zeros.

    Args:
        model: A model that returns a tensor, a `LieTensor`, or a tuple of them.
        input: Its input, or a tuple of them; `None` for none.
        create_graph: Whether the result can be differentiated again.
        strict: Not supported: whether an output depends on a parameter is not told.
        vectorize: Not used: whether directions share a pass is chosen by measurement.
        strategy: Not used likewise; `"reverse-mode"` or `"forward-mode"`.
        flatten: Whether to return one matrix of all outputs by all parameters.

    Returns:
        A tuple with one tensor `(*out, *param)` a parameter; for a tuple of outputs a
        tuple of such tuples. With `flatten`, one matrix.

    Raises:
        ArgumentError: `strict` is set, or `strategy` is none of PyPose's.
        FloatingPointError: The Jacobian has an entry that is not a number.
        OutputTypeError: The model returned something else.
        JacengineError: As `jacengine.auto`.
    """
    if strict:
        raise ArgumentError(
            "strict=True is not supported: a parameter that no output depends on has a "
            "Jacobian of zeros. Leave it out."
        )
    if strategy not in MODES:
        raise ArgumentError(
            f"strategy={strategy!r}: expected one of {', '.join(map(repr, MODES))}. "
            "To name a method of jacengine, call jacengine.jacobian."
        )
    args = input if isinstance(input, tuple) else () if input is None else (input,)
    names = [name for name, _ in model.named_parameters()]
    rows = auto(
        _PlainOutputs(model),
        *args,
        wrt=[f"model.{name}" for name in names],
        create_graph=create_graph,
        compiled=False,
    )
    several = isinstance(rows, tuple)
    blocks = [
        tuple(row[f"model.{name}"] for name in names)
        for row in (rows if several else (rows,))
    ]
    if any(bool(block.isnan().any()) for row in blocks for block in row):
        raise FloatingPointError(
            "The Jacobian has entries that are not a number. Check the model and its "
            "input, a rotation by an angle of zero or pi for instance."
        )
    if flatten:
        sizes = [parameter.numel() for parameter in model.parameters()]
        return torch.cat([_matrix(row, sizes) for row in blocks])
    return tuple(blocks) if several else blocks[0]


def _matrix(blocks: tuple[Tensor, ...], sizes: list[int]) -> Tensor:
    pairs = zip(blocks, sizes, strict=True)
    return torch.cat([block.reshape(-1, size) for block, size in pairs], dim=1)


class _PlainOutputs(nn.Module):
    """A model whose outputs are ordinary tensors instead of `LieTensor`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any) -> Any:
        """Call the model.

        Raises:
            OutputTypeError: It returned no tensor, and no tuple of them.
        """
        out = self.model(*args)
        outputs = out if isinstance(out, tuple) else (out,)
        if not all(isinstance(each, Tensor) for each in outputs):
            raise OutputTypeError(
                f"The model returned a {type(out).__name__}; expected a tensor, or a "
                "tuple of tensors."
            )
        plain = tuple(each.as_subclass(Tensor) for each in outputs)
        return plain if isinstance(out, tuple) else plain[0]
