"""Where J is stored while it is computed, and what it is verified by.

| result | holds |
|---|---|
| `dense` | every entry, written in place: in new memory, in a pool's, or in `out=` |
| `differentiable` | every entry, with the autograd graph that leads to it |
| `diagonal` | the diagonal of a Hessian, or its sum, the trace; both kinds of storage |

`result` is their interface, `result_layout` says how blocks nest. `buffer_pool` and
`huge_pages` are about memory.
"""
