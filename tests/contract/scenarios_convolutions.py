"""Parameter Jacobians, per sample, of convolutions and their transposes."""

from collections.abc import Callable

from torch import nn

from tests.contract.build_problem import params
from tests.contract.scenario import Scenario


def _conv(name: str, make: Callable[[], nn.Module], *shape: int) -> Scenario:
    return params(f"{name}_params", make, shape, tags="conv")


SCENARIOS: tuple[Scenario, ...] = (
    _conv("conv1d", lambda: nn.Conv1d(2, 3, 2), 4, 2, 5),
    _conv(
        "conv1d_strided_dilated",
        lambda: nn.Conv1d(2, 3, 2, stride=2, dilation=3, padding=1, bias=False),
        *(3, 2, 8),
    ),
    _conv(
        "conv1d_circular",
        lambda: nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular"),
        *(2, 2, 4),
    ),
    _conv(
        "conv1d_reflect_same",
        lambda: nn.Conv1d(2, 3, 2, padding="same", padding_mode="reflect"),
        *(2, 2, 4),
    ),
    _conv("conv2d", lambda: nn.Conv2d(2, 3, (2, 3)), 2, 2, 3, 5),
    _conv(
        "conv2d_strided_dilated_grouped",
        lambda: nn.Conv2d(4, 6, 2, stride=(2, 1), dilation=2, groups=2, padding=1),
        *(2, 4, 4, 3),
    ),
    _conv("conv2d_depthwise", lambda: nn.Conv2d(3, 6, 2, groups=3), 2, 3, 3, 2),
    _conv("conv2d_pointwise", lambda: nn.Conv2d(3, 2, 1), 2, 3, 2, 4),
    _conv(
        "conv2d_same",
        lambda: nn.Conv2d(2, 3, (3, 2), padding="same", dilation=(1, 2)),
        *(2, 2, 3, 4),
    ),
    _conv("conv2d_padded", lambda: nn.Conv2d(2, 3, 3, padding=(1, 2)), 2, 2, 2, 3),
    _conv(
        "conv2d_circular",
        lambda: nn.Conv2d(2, 3, 3, padding=(1, 0), padding_mode="circular"),
        *(2, 2, 2, 4),
    ),
    _conv(
        "conv2d_reflect",
        lambda: nn.Conv2d(2, 3, 2, padding=(1, 2), stride=2, padding_mode="reflect"),
        *(2, 2, 3, 4),
    ),
    _conv(
        "conv2d_replicate",
        lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"),
        *(2, 2, 2, 4),
    ),
    _conv("conv3d", lambda: nn.Conv3d(2, 3, (2, 1, 2)), 2, 2, 3, 2, 4),
    _conv(
        "conv3d_strided_padded",
        lambda: nn.Conv3d(2, 4, 2, stride=2, padding=(1, 0, 1), groups=2),
        *(2, 2, 2, 3, 4),
    ),
    _conv(
        "conv_transpose1d",
        lambda: nn.ConvTranspose1d(2, 3, 3, stride=2, padding=1, output_padding=1),
        *(4, 2, 3),
    ),
    _conv(
        "conv_transpose1d_grouped_dilated",
        lambda: nn.ConvTranspose1d(4, 6, 2, groups=2, dilation=2),
        *(2, 4, 3),
    ),
    _conv("conv_transpose2d", lambda: nn.ConvTranspose2d(3, 2, (2, 3)), *(2, 3, 2, 3)),
    _conv(
        "conv_transpose2d_strided_grouped",
        lambda: nn.ConvTranspose2d(
            4, 2, 2, stride=(2, 3), groups=2, dilation=(1, 2), output_padding=(1, 0)
        ),
        *(2, 4, 2, 1),
    ),
    _conv(
        "conv_stack",
        lambda: nn.Sequential(
            *(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(inplace=True)),
            *(nn.MaxPool2d(2), nn.Conv2d(2, 3, 2, bias=False), nn.Flatten()),
        ),
        *(3, 1, 4, 6),
    ),
)
