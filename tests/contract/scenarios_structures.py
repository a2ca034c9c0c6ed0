"""Parameter Jacobians, per sample, of modules with a structure of their own."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.contract.build_problem import inputs_and_params, module, params
from tests.contract.scenario import Scenario


class _Bare(nn.Module):
    """Parameters that belong to no layer, next to a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.positions = nn.Parameter(torch.zeros(4, 2))
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.layer(x) + self.positions)
        return self.scale * hidden.sum(1)


class _Quadratic(nn.Module):
    """A layer that PyTorch does not have."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))
        self.v = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w + x.square() * self.v


class _Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 2)))
        self.gate = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return torch.tanh(self.inner(x)) * gate


class _Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(
            {
                "left": _Branch(),
                "right": nn.ModuleList([_Branch()]),
            }
        )
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        left = self.blocks["left"]
        right = next(self.blocks["right"].children())
        out: Tensor = self.head(left(x) + right(x.sin()))
        return out


class _Containers(nn.Module):
    """Parameters in lists and dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ParameterList([torch.zeros(3, 3), torch.zeros(3, 2)])
        self.offsets = nn.ParameterDict({"in": torch.zeros(3), "out": torch.zeros(2)})

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ self.steps[0] + self.offsets["in"])
        out: Tensor = hidden @ self.steps[1] + self.offsets["out"]
        return out


class _Flattened(nn.Module):
    """Gives a layer all steps of all samples at once, as one long batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, steps, size = x.shape
        hidden = torch.tanh(self.first(x.reshape(batch * steps, size)))
        out: Tensor = self.second(hidden)
        return out.reshape(batch, steps, 2)


class _StepsFirst(nn.Module):
    """Works with the steps, not the samples, along the first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.layer(x.transpose(0, 1)))
        return hidden.cumsum(0).transpose(0, 1)


class _ResidualInPlace(nn.Module):
    """Adds the input to the output of a layer in place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.layer(x)
        hidden += x
        out: Tensor = self.head(hidden.tanh_())
        return out


class _ConvInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 2)
        self.act = nn.SiLU(inplace=True)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.act(self.conv(x))
        out: Tensor = self.head(hidden.mean((2, 3)))
        return out


class _Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = checkpoint(self.body, x, use_reentrant=False)
        out: Tensor = self.head(hidden)
        return out


class _TreeOut(nn.Module):
    """Takes two tensors, returns a tuple with a dict in it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(3, 2)
        self.right = nn.Linear(4, 2)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        mixed = torch.tanh(self.left(x)) * self.right(y)
        return mixed, {"sum": mixed.sum(-1), "last": mixed[:, 1:].exp()}


class _Hooked(nn.Module):
    """Has a forward hook that changes the output of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)
        self.layer.register_forward_hook(_square)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer(x))
        return out


def _square(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return output.square()


def _user_layers() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), _Quadratic(4), nn.Linear(4, 2), nn.Softplus())


SCENARIOS: tuple[Scenario, ...] = (
    params("bare_parameters", _Bare, (5, 4, 3), tags="bare"),
    module("bare_parameters_whole", _Bare, (2, 4, 3), tags="bare", wrt="params"),
    *inputs_and_params("user_layer", _user_layers, (5, 3), tags="bare"),
    params("user_layer_alone", lambda: _Quadratic(3), (4, 3), tags="bare"),
    params("nested_modules", _Nested, (4, 2)),
    params("parameter_containers", _Containers, (4, 3), tags="bare"),
    params("flattened_sequence", _Flattened, (2, 5, 3), tags="layout"),
    params("steps_first", _StepsFirst, (2, 4, 3), tags="layout"),
    params("steps_first_square", _StepsFirst, (3, 3, 3), tags="layout"),
    module("steps_first_inputs", _StepsFirst, (2, 4, 3), tags="layout", batch_dim=0),
    *inputs_and_params("residual_in_place", _ResidualInPlace, (4, 3)),
    *inputs_and_params("conv_in_place", _ConvInPlace, (4, 2, 3, 2), tags="conv"),
    params("checkpointed_params", _Checkpointed, (5, 3)),
    params("two_inputs_tree_params", _TreeOut, (5, 3), (5, 4), tags="pytree"),
    module(
        "two_inputs_tree_inputs",
        *(_TreeOut, (5, 3), (5, 4)),
        tags="pytree",
        wrt="inputs",
        batch_dim=0,
    ),
    params("forward_hook_params", _Hooked, (5, 3)),
)
