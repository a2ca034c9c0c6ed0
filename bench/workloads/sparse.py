"""Functions whose Jacobian or Hessian is sparse, at one point or for many samples.

They are no part of the sweeps over every method: a dense result of the larger sizes
would not fit into the memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from jacengine.bench.workload import DerivativeSpec, Workload, scale, seeded
from jacengine.bench.workloads.physics import brusselator


def heat(u: Any) -> Any:
    """Return the rates of a rod whose conductivity grows with its temperature."""
    conductivity = 1 + u[1:-1] ** 2
    return conductivity * (u[2:] - 2 * u[1:-1] + u[:-2])


def _heat(size: int) -> DerivativeSpec:
    return DerivativeSpec(heat, (torch.rand(size),), batch_dim=None)


def _heat_in_jax(spec: DerivativeSpec, u: Any) -> Any:
    del spec
    return heat(u)


def _brusselator(side: int) -> DerivativeSpec:
    return DerivativeSpec(brusselator, (torch.rand(2, side, side),), batch_dim=None)


def _brusselator_in_jax(spec: DerivativeSpec, fields: Any) -> Any:
    from jacengine.bench.optional_libraries import load  # noqa: PLC0415

    del spec
    return brusselator(fields, load("jax.numpy"))


class _Smoothing(nn.Module):
    """A convolution of an image, and a nonlinearity."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return cast("Tensor", self.convolution(image[None, None])[0, 0].tanh())


def _convolution(side: int) -> DerivativeSpec:
    return DerivativeSpec(_Smoothing(), (torch.randn(side, side),), batch_dim=None)


class _Reprojection:
    """Reprojection errors of points seen by cameras, in the model of BAL.

    Source: S. Agarwal et al., "Bundle adjustment in the large", 2010.
    """

    def __init__(self, cameras: int, points: int, observations: int) -> None:
        self.cameras = cameras
        self.camera = torch.randint(0, cameras, (observations,))
        again = torch.randint(0, points, (observations - points,))
        self.point = torch.cat([torch.arange(points), again])

    def __call__(self, x: Tensor) -> Tensor:
        split = 9 * self.cameras
        camera = x[:split].view(-1, 9)[self.camera]
        point = x[split:].view(-1, 3)[self.point]
        rotation = camera[:, :3]
        angle = torch.sqrt((rotation * rotation).sum(1, keepdim=True) + 1e-12)
        axis = rotation / angle
        cosine, sine = angle.cos(), angle.sin()
        turned = point * cosine + torch.linalg.cross(axis, point) * sine
        turned = turned + axis * (axis * point).sum(1, keepdim=True) * (1 - cosine)
        seen = turned + camera[:, 3:6]
        plane = -seen[:, :2] / seen[:, 2:]
        radius = (plane * plane).sum(1, keepdim=True)
        distortion = 1 + camera[:, 7:8] * radius + camera[:, 8:9] * radius * radius
        seen_at: Tensor = (camera[:, 6:7] * distortion * plane).flatten()
        return seen_at


def _bundle_adjustment(cameras: int) -> DerivativeSpec:
    points = 64 * cameras
    fn = _Reprojection(cameras, points, 5 * points)
    pose, place = torch.randn(cameras, 9) / 10, torch.randn(points, 3)
    place[:, 2] += 5
    x = torch.cat([pose.flatten(), place.flatten()]).double()
    return DerivativeSpec(fn, (x,), batch_dim=None)


class _GraphConvolution(nn.Module):
    """One layer on a graph: each node sums over its neighbours."""

    def __init__(self, nodes: int, degree: int, features: int) -> None:
        super().__init__()
        self.source = torch.arange(nodes).repeat_interleave(degree)
        away = torch.randint(-2 * degree, 2 * degree, self.source.shape)
        self.target = (self.source + away) % nodes
        self.mix = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        messages = self.mix(x)[self.source]
        return torch.zeros_like(x).index_add(0, self.target, messages).tanh()


def _graph(nodes: int) -> DerivativeSpec:
    x = torch.randn(nodes, 2)
    return DerivativeSpec(_GraphConvolution(nodes, 8, 2), (x,), batch_dim=None)


def chain(x: Any) -> Any:
    """Couple each variable of a sample with the next."""
    return x[..., 1:] * x[..., :-1] ** 2


def _chain(samples: int) -> DerivativeSpec:
    return DerivativeSpec(chain, (torch.randn(samples, 200),))


def rosenbrock(x: Any) -> Any:
    """Return the chained Rosenbrock function."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def _rosenbrock(size: int) -> DerivativeSpec:
    return DerivativeSpec(
        rosenbrock, (torch.randn(size),), batch_dim=None, quantity="hessian"
    )


def surface(z: Any) -> Any:
    """Return the area of a surface over a grid, but for a constant."""
    down, across = z[1:, :-1] - z[:-1, :-1], z[:-1, 1:] - z[:-1, :-1]
    return ((1 + down**2 + across**2) ** 0.5).sum()


def _surface(side: int) -> DerivativeSpec:
    return DerivativeSpec(
        surface, (torch.randn(side, side),), batch_dim=None, quantity="hessian"
    )


def _plain(function: Any) -> Any:
    return lambda spec, x: function(x)


def _elementwise(size: int) -> DerivativeSpec:
    return DerivativeSpec(lambda x: x.sin() * x, (torch.randn(size),), batch_dim=None)


SPARSE: tuple[Workload, ...] = tuple(
    replace(workload, build=seeded(workload.build))
    for workload in (
        Workload(
            name="heat_equation",
            origin="nonlinear heat equation on a rod",
            use="Implicit time steps: J is tridiagonal.",
            **scale("cells", 250, 1000, 4000, tiny=8),
            build=_heat,
            jax_function=_heat_in_jax,
        ),
        Workload(
            name="sparse_brusselator",
            origin="Brusselator on a periodic square",
            use="Stiff reaction and diffusion: six entries a row.",
            **scale("cells a side", 16, 32, 48, tiny=4),
            build=_brusselator,
            jax_function=_brusselator_in_jax,
        ),
        Workload(
            name="image_convolution",
            origin="3 x 3 convolution of an image",
            use="Inverse problems with images.",
            **scale("pixels a side", 16, 32, 64, tiny=4),
            build=_convolution,
        ),
        Workload(
            name="bundle_adjustment",
            origin="Agarwal et al., 2010, BAL",
            use="Gauss-Newton over cameras and points: twelve entries a row.",
            **scale("cameras", 4, 16, 64, tiny=1),
            build=_bundle_adjustment,
        ),
        Workload(
            name="graph_convolution",
            origin="Kipf and Welling, 2017",
            use="Sensitivity of node features.",
            **scale("nodes", 100, 1000, 10000, tiny=20),
            build=_graph,
        ),
        Workload(
            name="coupled_chain",
            origin="chains of 200 variables",
            use="Samples with one pattern, coloured once.",
            **scale("samples", 32, 128, 512, tiny=2),
            build=_chain,
            jax_function=_plain(chain),
        ),
        Workload(
            name="chained_rosenbrock",
            origin="Rosenbrock, 1960, chained",
            use="Newton's method with a tridiagonal Hessian.",
            **scale("variables", 1000, 10000, 100000, tiny=6),
            build=_rosenbrock,
            jax_function=_plain(rosenbrock),
        ),
        Workload(
            name="minimal_surface",
            origin="Plateau's problem, on a grid",
            use="Newton's method with the Hessian of an energy.",
            **scale("points a side", 16, 32, 64, tiny=4),
            build=_surface,
            jax_function=_plain(surface),
        ),
        Workload(
            name="elementwise",
            origin="one operator after another",
            use="Activations: J is diagonal.",
            **scale("entries", 1000, 100000, 1000000, tiny=5),
            build=_elementwise,
        ),
    )
)
"""In the order in which tables show them."""
