"""Sweeps: every method on every workload and size, measured in worker processes.

Finished cases are on disk at once, and an interrupted sweep can be resumed.
"""
