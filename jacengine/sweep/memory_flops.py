"""What a run allocates and how much it computes, counted in a run off the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from jacengine.peak_memory import peak_memory


def weighed(
    run: Callable[[], object], device: torch.device
) -> tuple[int | None, int | None]:
    """Count the peak of what a run allocates, and its floating-point operations.

    Args:
        run: The run.
        device: Where it allocates.

    Returns:
        Bytes and operations; neither where the work is not torch's.
    """
    with peak_memory(device) as peak, _Arithmetic() as arithmetic:
        result = run()
    leaves = pytree.tree_leaves(result)
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        return None, None
    return peak.bytes, arithmetic.count or None


class _Arithmetic(TorchDispatchMode):
    """Counts the operations of matrix products and convolutions.

    As `torch.utils.flop_counter`, by its formulas, but without its module hooks, which
    transforms of torch.func do not go along with.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.count += int(formula(*args, **(kwargs or {}), out_val=result))
        return result
