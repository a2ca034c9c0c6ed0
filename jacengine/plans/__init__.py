"""Choices kept: in a `Plan`, for later calls of this process, and on disk."""
