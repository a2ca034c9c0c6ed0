"""Pictures of Jacobians: `jacengine.plot(J)`."""

from __future__ import annotations

from jacengine.plotting.jacobian import plot

__all__ = ["plot"]
