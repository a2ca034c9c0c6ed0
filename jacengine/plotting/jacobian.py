"""The public function: `jacengine.plot(J)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from jacengine._extras import require_report
from jacengine.errors import ArgumentError
from jacengine.patterns.pattern import Pattern
from jacengine.plotting.blocks import block_matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PIXELS = 2048
"""Rows and columns of a pattern up to which each is drawn; of larger ones, a pixel
stands for several."""


def plot(
    J: Any,
    *,
    batch_dim: int | None = None,
    out_ndim: int | None = None,
    sparse: bool | Literal["auto"] = "auto",
    title: str = "",
) -> Figure:
    """Draw a Jacobian as an image: outputs down, inputs across.

    The colour map is symmetric about zero; where a few entries are far larger than the
    others, it ends before them and the colour bar shows that. In a Jacobian too large
    for the screen, each pixel shows its entry of largest magnitude.

    Args:
        J: A sparsity `Pattern`. Or the Jacobian, as `jacengine.auto` returns it: a
            tensor, or tensors in dicts or tuples, of inputs or parameters in those of
            outputs. In a single dict or tuple, tensors that agree in the axes of
            samples and outputs belong to several inputs, others to several outputs.
        batch_dim: 0 if the first axis is the sample axis; then J is drawn sample by
            sample.
        out_ndim: The number of axes of the output (of one sample): by default one, and
            none where that would leave a tensor without an axis of inputs.
        sparse: Whether to draw the sparsity pattern; by default if more than 90 % of
            the entries are exactly zero.
        title: The title.

    Returns:
        A figure, which notebooks show; `figure.savefig("jacobian.png")` saves it.

    Raises:
        ArgumentError: An option is out of its range, or J is empty or not one matrix.
        MissingExtraError: Matplotlib is not installed.
        InputTypeError: J contains something else than real floating-point tensors.

    Examples:
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
    require_report("`jacengine.plot`", ("matplotlib",))
    drawn = J
    if isinstance(J, Pattern):
        m, n = J.shape
        title = title or f"{m:,} x {n:,}, {J.nnz:,} nonzeros"
        drawn, sparse = J.to_tensor(PIXELS), True
    blocks = block_matrix(drawn, batch_dim, out_ndim)
    # Matplotlib is slow to import, and most programs do not draw.
    from jacengine.plotting.drawing import draw  # noqa: PLC0415

    return draw(blocks, sparse=sparse, title=title)
