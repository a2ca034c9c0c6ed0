"""Operators of ATen as nodes of a program: how they run, and where they are from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

aten: Any = torch.ops.aten
STOP = aten.lift_fresh_copy.default
"""Marks where the user's code stops the gradient; it returns its operand."""
FRAME = re.compile(r'File "(.+)", line (\d+), in .*\n(.*)')
"""A frame of a stack trace: its file, line and code."""
NOT_THEIRS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))
"""Folders whose code is not the user's."""


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> Any:
    """Compute attention by operators that have all derivatives."""
    return aten._scaled_dot_product_attention_math.default(
        query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale
    )


RUN_AS: dict[Any, Any] = {
    # The strides of fake tensors are not always those that kernels give.
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default: _attention,
}
"""What runs in the place of operators that rest on strides or lack derivatives."""


def run_node(node: Node, values: dict[Node, Any]) -> Any:
    """Run the operator of a node on the values of its operands."""
    args: Any
    args, kwargs = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
    if node.target is STOP:
        return args[0].detach()
    target: Any = RUN_AS.get(node.target, node.target)
    return target(*args, **kwargs)


def source_line(node: Node) -> str | None:
    """Return the line of the user's code that an operator is from, if it is known."""
    frames = FRAME.findall(node.meta.get("stack_trace") or "")
    theirs = [frame for frame in frames if not frame[0].startswith(NOT_THEIRS)]
    if not theirs:
        return None
    file, line, code = theirs[-1]
    return f"{Path(file).name}, line {line}: {code.strip()}"


def shape_of(node: Node) -> torch.Size:
    """Return the shape of a node's value, which is a tensor."""
    value: Tensor = node.meta["val"]
    return value.shape
