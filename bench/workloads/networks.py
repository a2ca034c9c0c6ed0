"""Networks by their inputs: feed-forward ones, and ones on sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jacengine.bench.workload import DerivativeSpec, Workload, scale
from jacengine.bench.workloads.models import conv_classifier, mlp, mlp_in_jax


class _Residual(nn.Module):
    """Residual blocks `x + W2 tanh(W1 x)`."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(mlp(width, width, width) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


class _GraphConvolution(nn.Module):
    """Two layers `A X W` with the neighbours' mean taken by a normalised A."""

    def __init__(self, nodes: int, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, classes)
        edges = torch.eye(nodes)
        for step in (1, 2, nodes // 2):
            edges += torch.eye(nodes).roll(step, 0) + torch.eye(nodes).roll(-step, 0)
        edges = (edges > 0).float()
        root = edges.sum(1).rsqrt()
        self.register_buffer("adjacency", root[:, None] * edges * root)

    def forward(self, features: Tensor) -> Tensor:
        adjacency = self.get_buffer("adjacency")
        hidden = (adjacency @ self.first(features)).relu()
        classes: Tensor = adjacency @ self.second(hidden)
        return classes


def _graph(nodes: int) -> DerivativeSpec:
    net = _GraphConvolution(nodes, features=8, hidden=16, classes=4)
    return DerivativeSpec(net, (torch.randn(nodes, 8),), batch_dim=None)


def transformer_layer() -> nn.Module:
    """Make an encoder layer of width 32 with 4 heads."""
    return nn.TransformerEncoderLayer(
        32, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True
    )


class LastState(nn.Module):
    """The last hidden state of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 24, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """Read a sequence."""
        states: Tensor = self.lstm(sequence)[0]
        return states[..., -1, :]


NETWORKS: tuple[Workload, ...] = (
    Workload(
        name="mlp_classifier",
        origin="MLP 64-128-128-10; J. Hoffman, D. A. Roberts, S. Yaida, Robust "
        "learning with Jacobian regularization, 2019, https://arxiv.org/abs/1908.02729",
        use="Jacobian regularisation penalises the class scores' derivatives by the "
        "inputs, to make a network robust.",
        **scale("samples", 64, 512, 2048, tiny=3),
        build=lambda n: DerivativeSpec(mlp(64, 128, 128, 10), (torch.randn(n, 64),)),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="mlp_decoder",
        origin="MLP 8-64-64-256, few inputs, many outputs; G. Arvanitidis, L. K. "
        "Hansen, S. Hauberg, Latent space oddity, 2018, "
        "https://arxiv.org/abs/1710.11379",
        use="The Jacobian of a decoder gives the metric of its latent space, for "
        "distances and geodesics.",
        **scale("samples", 64, 512, 4096, tiny=2),
        build=lambda n: DerivativeSpec(mlp(8, 64, 64, 256), (torch.randn(n, 8),)),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="mlp_encoder",
        origin="MLP 512-256-128-4, many inputs, few outputs",
        use="Sensitivity analysis ranks hundreds of inputs of a surrogate model by "
        "their effect on a few quantities of interest.",
        **scale("samples", 64, 512, 4096, tiny=2),
        build=lambda n: DerivativeSpec(mlp(512, 256, 128, 4), (torch.randn(n, 512),)),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="autoencoder",
        origin="Autoencoder 784-128-16-128-784; S. Rifai et al., Contractive "
        "auto-encoders, 2011",
        use="Contractive autoencoders penalise the derivatives of the reconstruction "
        "by the pixels, through a bottleneck of 16.",
        **scale("samples", 1, 8, 32, tiny=1),
        build=lambda n: DerivativeSpec(
            mlp(784, 128, 16, 128, 784), (torch.rand(n, 784),)
        ),
        jax_function=mlp_in_jax,
    ),
    Workload(
        name="residual_mlp",
        origin="Residual MLP of width 32 on 32 samples; J. Pennington, S. Schoenholz, "
        "S. Ganguli, Resurrecting the sigmoid, 2017, https://arxiv.org/abs/1711.04735",
        use="The singular values of the input-output Jacobian say whether signals and "
        "gradients survive the depth.",
        **scale("residual blocks", 8, 32, 128, tiny=2),
        build=lambda blocks: DerivativeSpec(
            _Residual(32, blocks), (torch.randn(32, 32),)
        ),
    ),
    Workload(
        name="image_classifier",
        origin="Convolutional network on 28x28 images; K. Simonyan, A. Vedaldi, A. "
        "Zisserman, Deep inside convolutional networks, 2014, "
        "https://arxiv.org/abs/1312.6034",
        use="Saliency maps and adversarial examples: every class score by every pixel, "
        "image by image.",
        **scale("samples", 16, 128, 512, tiny=1),
        build=lambda n: DerivativeSpec(
            conv_classifier(1, 28), (torch.rand(n, 1, 28, 28),)
        ),
    ),
    Workload(
        name="graph_convolution",
        origin="Two-layer graph convolution, 8 features and 4 classes a node, 7 "
        "neighbours each; T. Kipf, M. Welling, 2017, https://arxiv.org/abs/1609.02907; "
        "K. Xu et al., 2018, https://arxiv.org/abs/1806.03536",
        use="Influence scores: how much each node's features move each node's classes, "
        "to see over-smoothing.",
        **scale("nodes", 32, 96, 256, tiny=6),
        build=_graph,
    ),
)

SEQUENCES: tuple[Workload, ...] = (
    Workload(
        name="transformer_layer",
        origin="torch.nn.TransformerEncoderLayer, width 32, 4 heads, 8 sequences; "
        "L. Noci et al., Signal propagation in transformers, 2022, "
        "https://arxiv.org/abs/2206.03126",
        use="How a signal, or its gradient, spreads through depth: a layer's outputs "
        "by its inputs.",
        **scale("tokens", 4, 8, 24, tiny=1),
        build=lambda n: DerivativeSpec(transformer_layer(), (torch.randn(8, n, 32),)),
    ),
    Workload(
        name="lstm_memory",
        origin="torch.nn.LSTM with 24 units on 32 sequences; R. Pascanu, T. Mikolov, "
        "Y. Bengio, 2013, https://arxiv.org/abs/1211.5063",
        use="What the last state still remembers of every input, and whether gradients "
        "vanish on the way.",
        **scale("steps", 8, 24, 96, tiny=2),
        build=lambda steps: DerivativeSpec(LastState(), (torch.randn(32, steps, 6),)),
    ),
)
