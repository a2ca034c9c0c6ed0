"""Contraction of recurrent layers, unrolled in time.

The fused kernels of `nn.LSTM`, `nn.GRU` and `nn.RNN` have no batching rule: under vmap
they run for one sample and one direction after the other. Unrolled, such a layer is
linear maps `z_t = W v_t + b` with elementwise functions between them, and each map has
the block of a linear layer, with time steps as its positions:

    dy_k / dW[o, i] = sum_t g[k, t, o] v[t, i],    g[k, t, :] = dy_k / dz_t
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from jacengine._torchfunc import Tensors
from jacengine.layers.edge_vjp import vjp_at_edges
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.linear import linear_weight, positions_sum
from jacengine.layers.rnn_unroll import CELLS, unrolled


def rnn_sample_axes(call: LayerCall) -> tuple[int, ...] | None:
    """Return the sample axis of each argument of a recurrent layer's call.

    Returns:
        `None` if the module is none, or cannot be unrolled: its sequences are packed,
        or one without a sample axis.
    """
    module = call.module
    if type(module) not in CELLS:
        return None
    assert isinstance(module, nn.RNNBase)
    sequence = call.args[0] if call.args else None
    if not isinstance(sequence, Tensor) or sequence.dim() != 3:
        return None
    return (0 if module.batch_first else 1, *(1 for _ in call.tensors[1:]))


@dataclass(frozen=True)
class UnrolledRerun:
    """A captured call of a recurrent layer that runs again, unrolled.

    Attributes:
        layer: The layer.
        names: The parameters to compute the blocks of.
        output_leaves: Which of the values that it returns require gradients.
        arguments: Its arguments with samples along axis 0: `(s, t, i)`, and the initial
            states, `(s, level, h)`, if it was given them.
    """

    layer: nn.RNNBase
    names: tuple[str, ...]
    output_leaves: tuple[int, ...]
    arguments: Tensors

    def vjp(
        self,
        parameters: Tensors,
        seeds: Sequence[Tensor | None],
        *,
        create_graph: bool,
    ) -> tuple[Tensors, Tensors]:
        """Run the call, and pull cotangents back; see `PerSampleRerun.vjp`."""
        arguments = self.arguments
        if not create_graph:
            arguments = tuple(argument.detach() for argument in arguments)
        own: dict[str, Tensor] = dict(self.layer.named_parameters())
        own |= zip(self.names, parameters, strict=True)
        returned, maps = unrolled(self.layer, own, arguments[0], arguments[1:])
        reached = [i for i, seed in enumerate(seeds) if seed is not None]
        given = tuple(seed for seed in seeds if seed is not None)
        ends = {id(z): z for linear in maps for z in linear.outputs}
        outputs = tuple(returned[self.output_leaves[i]] for i in reached)
        found = vjp_at_edges(
            outputs,
            [get_gradient_edge(z) for z in ends.values()],
            given,
            vectorisation="vmap",
            create_graph=create_graph,
        )
        cotangents = {
            name: z.new_zeros(given[0].shape[:1] + z.shape) if g is None else g
            for (name, z), g in zip(ends.items(), found, strict=True)
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
            if linear.weight in self.names:
                blocks[linear.weight] = linear_weight(self.layer, x, g, None)
            if linear.bias in self.names:
                blocks[linear.bias] = positions_sum(self.layer, x, g, None)
        return outputs, tuple(blocks[name].transpose(0, 1) for name in self.names)
