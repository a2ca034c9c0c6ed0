"""The public function: what to draw, and what it says if it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jacengine.errors import ArgumentError
from jacengine.plotting.blocks import cut
from jacengine.plotting.pixels import pixels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    J: Any,
    *,
    batch_dim: int | None = None,
    out_ndim: int | None = None,
    sparse: bool | Literal["auto"] = "auto",
    title: str = "",
) -> Figure:
    """Draw a Jacobian as a picture: outputs down, inputs across.

    Colours are symmetric about zero; where a few entries are far larger than the
    others, colours end before them and the colour bar says so. A Jacobian too large for
    the screen shows, in each pixel, its entry of largest magnitude.

    Args:
        J: The Jacobian, as `jacengine.auto` returns it: a tensor, or tensors in dicts
            or tuples, of inputs or parameters in those of outputs. Of a single dict or
            tuple, tensors that agree in the axes of samples and outputs belong to
            several inputs, others to several outputs.
        batch_dim: 0 if the first axis counts samples; then J is drawn sample by sample.
        out_ndim: How many axes the output (of one sample) has: by default one, and none
            where that would leave a tensor without an axis of inputs.
        sparse: Whether to draw only where J is not zero; by default where more than
            90 % of it are exactly zero.
        title: What stands above.

    Returns:
        A figure, which notebooks show; `figure.savefig("jacobian.png")` keeps it.

    Raises:
        ArgumentError: An option is out of its range, or J is empty or no one matrix.
        InputTypeError: J holds something else than real floating-point tensors.

    Example:
        >>> import jacengine, torch
        >>> model = torch.nn.Linear(3, 2)
        >>> x = torch.randn(5, 3)
        >>> J = jacengine.auto(model, x, wrt="params", batch_dim=0)
        >>> figure = jacengine.plot(J, batch_dim=0)
    """
    if batch_dim not in {None, 0} or isinstance(batch_dim, bool):
        raise ArgumentError(
            f"`jacengine.plot(batch_dim={batch_dim!r})`: expected None or 0."
        )
    if not isinstance(sparse, bool) and sparse != "auto":
        raise ArgumentError(
            f'`jacengine.plot(sparse={sparse!r})`: expected True, False or "auto".'
        )
    blocks = cut(J, batch_dim, out_ndim)
    # Matplotlib takes a while to import, and most programs draw nothing.
    from jacengine.plotting.picture import picture  # noqa: PLC0415

    shown = pixels(blocks.matrix())
    spied = shown.sparse if sparse == "auto" else sparse
    return picture(blocks, shown, sparse=spied, title=title)
