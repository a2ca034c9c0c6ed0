"""Peak memory and floating-point operations of a run, counted in a run of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from jacengine.peak_memory import peak_memory


def count_memory_and_flops(
    run: Callable[[], object], device: torch.device
) -> tuple[int | None, int | None]:
    """Count the peak of allocated bytes and the floating-point operations of a run.

    Returns:
        Bytes and operations; `None` for both where PyTorch does not do the work.
    """
    with peak_memory(device) as peak, _FlopCounter() as counter:
        result = run()
    leaves = pytree.tree_leaves(result)
    if not all(isinstance(leaf, Tensor) for leaf in leaves):
        return None, None
    return peak.bytes, counter.flops or None


class _FlopCounter(TorchDispatchMode):
    """Counts the operations of matrix products and convolutions.

    Uses the formulas of `torch.utils.flop_counter` without its module hooks, which do
    not support the transforms of torch.func.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += int(formula(*args, **(kwargs or {}), out_val=result))
        return result
