"""Choices that are kept: in a `Plan`, in the process cache, and in the disk cache."""
