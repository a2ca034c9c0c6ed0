"""Modules that are wrapped for training on several devices, as plain modules.

Neither forward mode nor per-sample gradients go through the wrappers of torch
(pytorch issues 102197 and 182641). The module inside of a `DistributedDataParallel` is
plain already. Of one under `fully_shard` a replica with whole parameters is made.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from jacengine._torch_private import without_fully_shard
from jacengine.errors import ArgumentError, MemoryBudgetError
from jacengine.selection.budget import Budget, format_bytes, to_bytes


def unwrapped(fn: Any) -> Any:
    """Return the module inside of a `DistributedDataParallel`."""
    while isinstance(fn, DistributedDataParallel):
        fn = fn.module
    return fn


def sharded_parameters(fn: Any) -> dict[str, DTensor]:
    """List the parameters of a module that are spread over ranks, tied ones too."""
    if not isinstance(fn, nn.Module):
        return {}
    every = fn.named_parameters(remove_duplicate=False)
    return {name: p for name, p in every if isinstance(p, DTensor)}


def refuse_large_replica(fn: Any, budget: Budget) -> None:
    """Refuse to make a replica that does not fit.

    Raises:
        MemoryBudgetError: It does not.
        ArgumentError: A buffer is spread over ranks.
    """
    found = sharded_parameters(fn)
    if not found:
        return
    for name, buffer in fn.named_buffers():
        if isinstance(buffer, DTensor):
            raise ArgumentError(f"The buffer {name!r} is a DTensor; expected a tensor.")
    distinct = {id(p): p for p in found.values()}.values()
    needed = sum(p.numel() * p.element_size() for p in distinct)
    local = next(iter(distinct)).to_local()
    allowed = to_bytes(budget, local.device)
    if needed > allowed:
        raise MemoryBudgetError(
            f"The parameters are spread over ranks, and all of them take "
            f"{format_bytes(needed)} on each rank, of {format_bytes(allowed)}. Raise "
            "memory_budget, or differentiate a part of the module."
        )


def replica_of(module: nn.Module) -> nn.Module:
    """Make a plain copy of a module under `fully_shard`, with whole parameters.

    All ranks of its mesh have to call this. Buffers are shared with the module.
    """
    whole: dict[int, nn.Parameter] = {}
    values: dict[str, Tensor] = {}
    for name, parameter in sharded_parameters(module).items():
        if id(parameter) not in whole:
            full = parameter.full_tensor().detach()
            whole[id(parameter)] = nn.Parameter(full, parameter.requires_grad)
        values[name] = whole[id(parameter)]
    return without_fully_shard(module, values)
