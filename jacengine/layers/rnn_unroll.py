"""Contraction of recurrent layers, unrolled in time.

The fused kernels of `nn.LSTM`, `nn.GRU` and `nn.RNN` have no batching rule: under vmap
they run for one sample and one direction after the other. Unrolled, such a layer is
linear maps `z_t = W v_t + b` with elementwise cells between them, and each map has the
block of a linear layer, with time steps as its positions:

    dy_k / dW[o, i] = sum_t g[k, t, o] v[t, i],    g[k, t, :] = dy_k / dz_t

Formulas of the cells: the documentation of `nn.RNN`, `nn.GRU` and `nn.LSTM` in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional as F

from jacengine._torchfunc import Tensors
from jacengine.layers.autograd_graph import vjp_at_edges
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.linear import linear_weight, positions_sum

Cell = Callable[[nn.RNNBase, Tensor, Tensor, Tensors], tuple[Tensors, Tensors]]
"""From the products of the input and of the state, `(s, gates)` each, and the state to
the next state, and to the two tensors that have the cotangents of those products."""


def _rnn_cell(
    layer: nn.RNNBase, zi: Tensor, zh: Tensor, _: Tensors
) -> tuple[Tensors, Tensors]:
    """Compute `h' = tanh(z)` or `h' = relu(z)`."""
    z = zi + zh
    relu = layer.mode == "RNN_RELU"
    return (torch.relu(z) if relu else torch.tanh(z),), (z, z)


def _gru_cell(
    _: nn.RNNBase, zi: Tensor, zh: Tensor, state: Tensors
) -> tuple[Tensors, Tensors]:
    """Compute `h' = (1 - u) n + u h`; the reset gate `r` scales the state in `n`."""
    ri, ui, ni = zi.chunk(3, -1)
    rh, uh, nh = zh.chunk(3, -1)
    new = torch.tanh(ni + torch.sigmoid(ri + rh) * nh)
    update = torch.sigmoid(ui + uh)
    return ((1 - update) * new + update * state[0],), (zi, zh)


def _lstm_cell(
    _: nn.RNNBase, zi: Tensor, zh: Tensor, state: Tensors
) -> tuple[Tensors, Tensors]:
    """Compute `c' = f c + i tanh(g)` and `h' = o tanh(c')`."""
    z = zi + zh
    write, forget, new, read = z.chunk(4, -1)
    kept = torch.sigmoid(forget) * state[1]
    cell = kept + torch.sigmoid(write) * torch.tanh(new)
    return (torch.sigmoid(read) * torch.tanh(cell), cell), (z, z)


CELLS: dict[type[nn.Module], Cell] = {
    nn.RNN: _rnn_cell,
    nn.GRU: _gru_cell,
    nn.LSTM: _lstm_cell,
}
"""The cell of each class of layers."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map inside a layer, over all time steps.

    Attributes:
        weight: The name of its matrix.
        bias: The name of its bias, if it has one.
        inputs: Its input at each step, `(s, i)`.
        outputs: The tensors that have the cotangents of its outputs, `(s, o)` at each
            step.
    """

    weight: str
    bias: str | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def unrolled(
    layer: nn.RNNBase, own: Mapping[str, Tensor], sequence: Tensor, states: Tensors
) -> tuple[Tensors, list[LinearMap]]:
    """Run a recurrent layer step by step.

    Args:
        layer: The layer.
        own: Its parameters, by name.
        sequence: `(s, t, i)`.
        states: `(s, level, h)` each: the initial states; zeros if there are none.

    Returns:
        The values that the layer returns, flattened, with samples first, and the linear
        maps in it.
    """
    maps: list[LinearMap] = []
    ends: list[Tensors] = []
    steps = sequence.unbind(1)
    for level in range(layer.num_layers):
        made: list[Tensors] = []
        for suffix in ("", "_reverse") if layer.bidirectional else ("",):
            begin = tuple(state[:, len(ends)] for state in states)
            order = slice(None, None, -1 if suffix else 1)
            outputs, end, inside = _run_level(
                layer, own, f"_l{level}{suffix}", steps[order], begin
            )
            made.append(outputs[order])
            ends.append(end)
            maps += inside
        steps = tuple(torch.cat(parts, dim=-1) for parts in zip(*made, strict=True))
    finals = (torch.stack(parts, dim=1) for parts in zip(*ends, strict=True))
    return (torch.stack(steps, dim=1), *finals), maps


def _run_level(
    layer: nn.RNNBase,
    own: Mapping[str, Tensor],
    suffix: str,
    steps: Tensors,
    state: Tensors,
) -> tuple[Tensors, Tensors, list[LinearMap]]:
    """Run a level in one direction of time: its outputs, last state and linear maps."""
    names = [f"weight_ih{suffix}", f"weight_hh{suffix}"]
    biases = [f"bias_ih{suffix}", f"bias_hh{suffix}"] if layer.bias else [None, None]
    by_input, by_state = (own[name] for name in names)
    offsets = [None if name is None else own[name] for name in biases]
    projection = own.get(f"weight_hr{suffix}")
    if not state:
        size = layer.proj_size or layer.hidden_size
        sizes = (size, layer.hidden_size) if layer.mode == "LSTM" else (size,)
        state = tuple(steps[0].new_zeros(len(steps[0]), size) for size in sizes)
    hidden: list[Tensor] = []
    outputs: list[Tensor] = []
    products: list[Tensors] = []
    unprojected: list[Tensor] = []
    for zi in F.linear(torch.stack(steps, dim=1), by_input, offsets[0]).unbind(1):
        hidden.append(state[0])
        zh = F.linear(state[0], by_state, offsets[1])
        state, ends = CELLS[type(layer)](layer, zi, zh, state)
        products.append(ends)
        if projection is not None:
            unprojected.append(state[0])
            state = (F.linear(state[0], projection), *state[1:])
        outputs.append(state[0])
    maps = [
        LinearMap(names[i], biases[i], inputs, tuple(ends[i] for ends in products))
        for i, inputs in enumerate((steps, tuple(hidden)))
    ]
    if projection is not None:
        name = f"weight_hr{suffix}"
        maps.append(LinearMap(name, None, tuple(unprojected), tuple(outputs)))
    return tuple(outputs), state, maps


def rnn_sample_axes(call: LayerCall) -> tuple[int, ...] | None:
    """Return the sample axis of each argument of a recurrent layer's call.

    `None` if the module is none, or cannot be unrolled: its sequences are packed, or
    one without a sample axis.
    """
    module = call.module
    if type(module) not in CELLS:
        return None
    assert isinstance(module, nn.RNNBase)
    sequence = call.args[0] if call.args else None
    if not isinstance(sequence, Tensor) or sequence.dim() != 3:
        return None
    return (0 if module.batch_first else 1, *(1 for _ in call.tensors[1:]))


def unrolled_rerun(
    layer: nn.RNNBase,
    names: Sequence[str],
    output_leaves: Sequence[int],
    arguments: Tensors,
    *,
    create_graph: bool,
) -> Callable[[Tensors, Mapping[int, Tensor]], tuple[Tensors, Tensors]]:
    """Make the `Rerun` (`per_sample_rerun`) of a call of a recurrent layer, unrolled.

    Args:
        layer: The layer.
        names: The parameters to compute the blocks of.
        output_leaves: Which of the values that it returns require gradients.
        arguments: Its arguments with samples along axis 0: `(s, t, i)`, and the initial
            states, `(s, level, h)`, if it was given them.
        create_graph: Whether blocks must be differentiable in turn.
    """

    def vjp(
        parameters: Tensors, seeds: Mapping[int, Tensor]
    ) -> tuple[Tensors, Tensors]:
        own: dict[str, Tensor] = dict(layer.named_parameters())
        own |= zip(names, parameters, strict=True)
        returned, maps = unrolled(layer, own, arguments[0], arguments[1:])
        ends = {id(z): z for linear in maps for z in linear.outputs}
        outputs = tuple(returned[output_leaves[i]] for i in seeds)
        given = tuple(seeds.values())
        found = vjp_at_edges(
            outputs,
            [get_gradient_edge(z) for z in ends.values()],
            given,
            vectorisation="vmap",
            create_graph=create_graph,
        )
        count = given[0].shape[:1]
        cotangents = {
            key: z.new_zeros(count + z.shape) if g is None else g
            for (key, z), g in zip(ends.items(), found, strict=True)
        }
        stacked: dict[tuple[int, ...], Tensor] = {}
        blocks: dict[str | None, Tensor] = {}
        for linear in maps:
            x = torch.stack(linear.inputs, dim=1)
            ids = tuple(map(id, linear.outputs))
            if ids not in stacked:
                along = torch.stack([cotangents[i] for i in ids], dim=2)
                stacked[ids] = along.transpose(0, 1)
            g = stacked[ids]
            if linear.weight in names:
                blocks[linear.weight] = linear_weight(layer, x, g, None)
            if linear.bias in names:
                blocks[linear.bias] = positions_sum(layer, x, g, None)
        return outputs, tuple(blocks[name].transpose(0, 1) for name in names)

    return vjp
