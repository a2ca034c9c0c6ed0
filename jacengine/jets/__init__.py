"""Second-order forward propagation: the forward Laplacian, operator by operator."""

from jacengine.jets.propagate import propagate

__all__ = ["propagate"]
