"""The way from the functions that users call to several processes, if a mesh is given.

Nothing else that runs on one process knows of a mesh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jacengine.errors import ArgumentError
from jacengine.plans.complex_result import compute_complex, require_holomorphic
from jacengine.plans.plan import Plan
from jacengine.plans.planning import compute, make_plan
from jacengine.plans.request import PlanRequest

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from jacengine.distributed.choose_axis import Shard
    from jacengine.distributed.sharded_plan import Sharding


TIMEOUT_S = 300.0
"""Seconds that ranks wait for each other by default: one may compute that much longer
than another."""


def compute_here_or_over(
    mesh: DeviceMesh | None,
    shard: Shard,
    request: PlanRequest,
    out: Any = None,
    *,
    gather: bool,
    timeout_s: float,
) -> Any:
    """Compute what is requested, on this process or over a mesh."""
    sharding = sharding_of(mesh, shard, gather=gather, timeout_s=timeout_s)
    if sharding is None:
        return compute_complex(request, compute, out)
    from jacengine.distributed.sharded_plan import (  # noqa: PLC0415 - slow to import
        compute_sharded,
    )

    return compute_sharded(request, sharding, out)


def plan_here_or_over(
    mesh: DeviceMesh | None,
    shard: Shard,
    request: PlanRequest,
    *,
    gather: bool,
    timeout_s: float,
) -> Plan:
    """Make a plan, for this process or for a mesh."""
    sharding = sharding_of(mesh, shard, gather=gather, timeout_s=timeout_s)
    if sharding is None:
        made = make_plan(request)
        if request.options.complex == "holomorphic":
            require_holomorphic(request)
        return made
    from jacengine.distributed.sharded_plan import (  # noqa: PLC0415 - slow to import
        sharded_plan,
    )

    return sharded_plan(request, sharding)


def sharding_of(
    mesh: DeviceMesh | None, shard: Shard, *, gather: bool, timeout_s: float
) -> Sharding | None:
    """Return how a result is spread; `None` if it is computed on this process.

    Raises:
        ArgumentError: Something is requested that needs a mesh, and there is none.
    """
    if mesh is None:
        if shard != "auto" or gather:
            raise ArgumentError(
                f"shard={shard!r} and gather={gather!r} need a mesh: pass mesh=."
            )
        return None
    from jacengine.distributed.sharded_plan import (  # noqa: PLC0415 - slow to import
        Sharding,
    )

    return Sharding(mesh, shard, gather, timeout_s)
