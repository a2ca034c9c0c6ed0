"""Truncated Taylor propagation to second order: the forward Laplacian."""

from jacengine.program.taylor.propagate import propagate

__all__ = ["propagate"]
