"""Jacobians over several processes: sharded over a mesh, or spread by an executor.

Every rank of a mesh calls the same function and computes its shard with a plan of its
own, on plain tensors. Ranks talk to each other between these computations only: to
agree on a method, to tell that all is well, and to add or gather results.
"""
