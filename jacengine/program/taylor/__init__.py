"""Second-order forward propagation: the forward Laplacian, operator by operator."""

from jacengine.program.taylor.propagate import propagate

__all__ = ["propagate"]
