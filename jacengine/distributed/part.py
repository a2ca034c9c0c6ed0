"""A tensor of the result, as one rank has computed it; as a `DTensor`, or gathered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from jacengine.distributed.channel import Channel
from jacengine.distributed.window import Window
from jacengine.results.csr import csr_tensor


@dataclass(frozen=True)
class SparseShard:
    """The samples of a sparse Jacobian that a rank holds; torch shards none.

    Attributes:
        local: The sparse tensor `(samples, M, N)` of this rank.
        samples: Which samples those are.
        shape: The shape of the whole, `(B, M, N)`.
    """

    local: Tensor
    samples: slice
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """What a rank has computed of a tensor.

    Attributes:
        computed: It.
        dim: The axis that ranks share among them.
        window: Which part of that axis it is; `None`: all, as on every rank.
    """

    computed: Tensor
    dim: int
    window: Window | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the whole tensor."""
        shape = list(self.computed.shape)
        if self.window is not None:
            shape[self.dim] = self.window.size
        return tuple(shape)

    def placed(self, mesh: DeviceMesh) -> DTensor | SparseShard:
        """Return the whole as a tensor that is spread over the mesh."""
        if self.window is None:
            return DTensor.from_local(
                self.computed, mesh, [Replicate()], run_check=False
            )
        if self.computed.layout != torch.strided:
            held = _sparse_samples(self.computed, self.window.within)
            return SparseShard(held, self.window.shard, self.shape)
        return DTensor.from_local(
            self.window.trimmed(self.computed, self.dim),
            mesh,
            [Shard(self.dim)],
            run_check=False,
            shape=torch.Size(self.shape),
            stride=torch.empty(self.shape, device="meta").stride(),
        )

    def gathered(self, channel: Channel) -> Tensor:
        """Return the whole, on all ranks."""
        if self.window is None:
            return self.computed
        parts = channel.gather(self.computed)
        return torch.cat(
            [
                self.window.of(rank).trimmed(part, self.dim)
                for rank, part in enumerate(parts)
            ],
            dim=self.dim,
        )


def _sparse_samples(tensor: Tensor, part: slice) -> Tensor:
    """Return some samples of a sparse tensor `(B, M, N)`."""
    count = part.stop - part.start
    if tensor.layout == torch.sparse_csr:
        return csr_tensor(
            tensor.crow_indices()[part],
            tensor.col_indices()[part],
            tensor.values()[part],
            (count, *tensor.shape[1:]),
        )
    return torch.narrow_copy(tensor, 0, part.start, count).coalesce()
