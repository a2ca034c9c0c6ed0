"""Finding parameters in a flat Jacobian."""

from __future__ import annotations

from torch import Tensor, nn

from jacengine.errors import ArgumentError
from jacengine.problem.call_spec import Wrt, parameters_of


def named_views(
    flat: Tensor, model: nn.Module, wrt: Wrt = "params"
) -> dict[str, Tensor]:
    """View a Jacobian of `layout="flat"` by parameter.

    Args:
        flat: `(..., P)`, the flat Jacobian or anything else with the parameters of the
            model side by side in its last axis, such as a row of it.
        model: The module that it is of.
        wrt: As it was when the Jacobian was computed.

    Returns:
        For each parameter its name and a view `(..., *param)`; nothing is copied.

    Raises:
        ArgumentError: The last axis is not as long as the parameters together.
    """
    leaves, _, nesting, places = parameters_of(model, wrt)
    sizes = [leaf.size for leaf in leaves]
    if flat.dim() == 0 or flat.shape[-1] != sum(sizes):
        raise ArgumentError(
            f"The last axis of a tensor of shape {tuple(flat.shape)} does not hold the "
            f"parameters side by side, which have {sum(sizes)} entries."
        )
    views = [
        part.unflatten(-1, leaf.shape) if leaf.shape else part[..., 0]
        for part, leaf in zip(flat.split(sizes, dim=-1), leaves, strict=True)
    ]
    named: dict[str, Tensor] = nesting.unflatten([views[p or 0] for p in places])
    return named
