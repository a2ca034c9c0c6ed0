"""Sweeps: every method on every workload and size, measured so that it can be trusted.

Each case runs in a worker process; what is finished is on disk; what was interrupted is
resumed.
"""
