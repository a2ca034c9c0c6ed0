"""Recurrent layers, run again step by step.

The fused kernels of `nn.LSTM`, `nn.GRU` and `nn.RNN` have no batching rule: under vmap
they run for one sample and one direction after the other. Taken apart into steps such a
layer is linear maps `z_t = W v_t + b` with pointwise functions between them, and each
map has the block of a linear layer, with steps in the place of positions:

    dy_k / dW[o, i] = sum_t g[k, t, o] v[t, i],    g[k, t, :] = dy_k / dz_t
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from jacengine._locks import TORCH_GLOBAL_LOCK
from jacengine._torchfunc import Tensors
from jacengine.layers.edge_vjp import arriving_cotangents
from jacengine.layers.hook_capture import LayerCall
from jacengine.layers.linear import linear_weight, positions_sum
from jacengine.layers.rnn_unroll import CELLS, LinearMap, unrolled


def sample_axes(visit: LayerCall) -> tuple[int, ...] | None:
    """Return where the samples lie in each argument of a recurrent layer's call.

    Returns:
        `None` if the module is none, or cannot run step by step: its sequences are
        packed, or one without an axis of samples.
    """
    module = visit.module
    if type(module) not in CELLS:
        return None
    assert isinstance(module, nn.RNNBase)
    sequence = visit.args[0] if visit.args else None
    if not isinstance(sequence, Tensor) or sequence.dim() != 3:
        return None
    return (0 if module.batch_first else 1, *(1 for _ in visit.tensors[1:]))


@dataclass(frozen=True)
class Steps:
    """A captured call of a recurrent layer that runs again, step by step.

    Attributes:
        layer: The layer.
        names: The parameters that it answers for.
        places: Which of what it returns is wanted: outputs, states.
        arguments: Its arguments with samples along axis 0: `(s, t, i)`, and the states
            that it starts from, `(s, level, h)`, if it was given them.
    """

    layer: nn.RNNBase
    names: tuple[str, ...]
    places: tuple[int, ...]
    arguments: Tensors

    def outputs(self, parameters: Tensors) -> Tensors:
        """Return what the call returned, with samples along axis 0."""
        return self._run(parameters, self.arguments)[0]

    def pull(
        self,
        parameters: Tensors,
        seeds: Sequence[Tensor | None],
        *,
        create_graph: bool,
    ) -> Tensors:
        """Pull cotangents back to the parameters; see `Rerun.pull`."""
        arguments = self.arguments
        if not create_graph:
            arguments = tuple(argument.detach() for argument in arguments)
        outputs, maps = self._run(parameters, arguments)
        reached = [i for i, seed in enumerate(seeds) if seed is not None]
        given = tuple(seed for seed in seeds if seed is not None)
        ends = {id(z): z for linear in maps for z in linear.outputs}
        found = arriving_cotangents(
            tuple(outputs[i] for i in reached),
            [get_gradient_edge(z) for z in ends.values()],
            given,
            vectorisation="vmap",
            create_graph=create_graph,
        )
        arrived = {
            name: z.new_zeros(given[0].shape[:1] + z.shape) if g is None else g
            for (name, z), g in zip(ends.items(), found, strict=True)
        }
        stacked: dict[tuple[int, ...], Tensor] = {}
        blocks: dict[str | None, Tensor] = {}
        for linear in maps:
            x = torch.stack(linear.inputs, dim=1)
            names = tuple(map(id, linear.outputs))
            if names not in stacked:
                along = torch.stack([arrived[name] for name in names], dim=2)
                stacked[names] = along.transpose(0, 1)
            g = stacked[names]
            if linear.weight in self.names:
                blocks[linear.weight] = linear_weight(self.layer, x, g, None)
            if linear.bias in self.names:
                blocks[linear.bias] = positions_sum(self.layer, x, g, None)
        return tuple(blocks[name].transpose(0, 1) for name in self.names)

    def _run(
        self, parameters: Tensors, arguments: Tensors
    ) -> tuple[Tensors, list[LinearMap]]:
        with TORCH_GLOBAL_LOCK:
            own: dict[str, Tensor] = dict(self.layer.named_parameters())
        own |= zip(self.names, parameters, strict=True)
        returned, maps = unrolled(self.layer, own, arguments[0], arguments[1:])
        return tuple(returned[place] for place in self.places), maps
