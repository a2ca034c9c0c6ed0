"""Recurrent layers in plain operators: linear maps, and pointwise cells between them.

Formulas of the cells: the documentation of `nn.RNN`, `nn.GRU` and `nn.LSTM` in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jacengine._torchfunc import Tensors

Cell = Callable[[nn.RNNBase, Tensor, Tensor, Tensors], tuple[Tensors, Tensors]]
"""From what input and state contribute, `(s, gates)` each, and the state to the next
state, and to the two tensors where the cotangents of the contributions arrive."""


def _plain(
    layer: nn.RNNBase, zi: Tensor, zh: Tensor, _: Tensors
) -> tuple[Tensors, Tensors]:
    """Compute `h' = tanh(z)`, or of the positive part; both contributions make `z`."""
    z = zi + zh
    relu = layer.mode == "RNN_RELU"
    return (torch.relu(z) if relu else torch.tanh(z),), (z, z)


def _gated(
    _: nn.RNNBase, zi: Tensor, zh: Tensor, state: Tensors
) -> tuple[Tensors, Tensors]:
    """Compute `h' = (1 - u) n + u h`; the state's share of `n` is gated by `r`."""
    ri, ui, ni = zi.chunk(3, -1)
    rh, uh, nh = zh.chunk(3, -1)
    new = torch.tanh(ni + torch.sigmoid(ri + rh) * nh)
    update = torch.sigmoid(ui + uh)
    return ((1 - update) * new + update * state[0],), (zi, zh)


def _long_short(
    _: nn.RNNBase, zi: Tensor, zh: Tensor, state: Tensors
) -> tuple[Tensors, Tensors]:
    """Compute `c' = f c + i tanh(g)` and `h' = o tanh(c')`."""
    z = zi + zh
    write, forget, new, read = z.chunk(4, -1)
    kept = torch.sigmoid(forget) * state[1]
    cell = kept + torch.sigmoid(write) * torch.tanh(new)
    return (torch.sigmoid(read) * torch.tanh(cell), cell), (z, z)


CELLS: dict[type[nn.Module], Cell] = {
    nn.RNN: _plain,
    nn.GRU: _gated,
    nn.LSTM: _long_short,
}
"""The cell of each class of layers."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map inside a layer, over all steps.

    Attributes:
        weight: The name of its matrix ...
        bias: ... and of its bias, if it has one.
        inputs: What it is given at each step, `(s, i)`.
        outputs: Where the cotangents of what it gives arrive, `(s, o)` at each step.
    """

    weight: str
    bias: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def unrolled(
    layer: nn.RNNBase, own: Mapping[str, Tensor], sequence: Tensor, states: Tensors
) -> tuple[Tensors, list[LinearMap]]:
    """Run a recurrent layer in plain operators.

    Args:
        layer: The layer.
        own: Its parameters, by name.
        sequence: `(s, t, i)`.
        states: `(s, level, h)` each: what it starts from; zeros if there are none.

    Returns:
        What the layer returns, flattened, with samples in front, and the linear maps
        in it.
    """
    maps: list[LinearMap] = []
    ends: list[Tensors] = []
    steps = sequence.unbind(1)
    sides = ("", "_reverse") if layer.bidirectional else ("",)
    for level in range(layer.num_layers):
        made: list[Tensors] = []
        for side in sides:
            suffix = f"_l{level}{side}"
            begin = tuple(state[:, len(ends)] for state in states)
            way = slice(None, None, -1 if side else 1)
            through, end, inside = _through(layer, own, suffix, steps[way], begin)
            made.append(through[way])
            ends.append(end)
            maps += inside
        steps = tuple(torch.cat(parts, dim=-1) for parts in zip(*made, strict=True))
    finals = (torch.stack(parts, dim=1) for parts in zip(*ends, strict=True))
    return (torch.stack(steps, dim=1), *finals), maps


def _through(
    layer: nn.RNNBase,
    own: Mapping[str, Tensor],
    suffix: str,
    steps: Tensors,
    state: Tensors,
) -> tuple[Tensors, Tensors, list[LinearMap]]:
    """Run one level in one direction.

    Returns:
        Its outputs, its last state, and the linear maps in it.
    """
    names = [f"weight_ih{suffix}", f"weight_hh{suffix}"]
    biases = [f"bias_ih{suffix}", f"bias_hh{suffix}"] if layer.bias else [None, None]
    by_input, by_state = (own[name] for name in names)
    offsets = [None if name is None else own[name] for name in biases]
    projection = own.get(f"weight_hr{suffix}")
    cell = CELLS[type(layer)]
    if not state:
        size = layer.proj_size or layer.hidden_size
        sizes = (size, layer.hidden_size) if layer.mode == "LSTM" else (size,)
        state = tuple(steps[0].new_zeros(len(steps[0]), size) for size in sizes)
    hidden: list[Tensor] = []
    outputs: list[Tensor] = []
    arrivals: list[Tensors] = []
    whole: list[Tensor] = []
    for zi in F.linear(torch.stack(steps, dim=1), by_input, offsets[0]).unbind(1):
        hidden.append(state[0])
        zh = F.linear(state[0], by_state, offsets[1])
        state, arrive = cell(layer, zi, zh, state)
        arrivals.append(arrive)
        if projection is not None:
            whole.append(state[0])
            state = (F.linear(state[0], projection), *state[1:])
        outputs.append(state[0])
    ends = [tuple(parts) for parts in zip(*arrivals, strict=True)]
    maps = [
        LinearMap(names[0], biases[0], steps, ends[0]),
        LinearMap(names[1], biases[1], tuple(hidden), ends[1]),
    ]
    if projection is not None:
        maps.append(LinearMap(f"weight_hr{suffix}", None, tuple(whole), tuple(outputs)))
    return tuple(outputs), state, maps
