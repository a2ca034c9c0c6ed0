"""Truncated Taylor propagation to second order: the forward Laplacian."""
