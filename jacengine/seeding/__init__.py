"""Which directions a sweep takes, and where their products go.

A *seeding policy* is a value of a method; bound to a problem it is a `Seeding`, which
gives the seeds of a block of directions and places their products in a result. `basis`
holds the standard basis, whose direction `k` is row or column `k`. `samples` holds the
sample policies: how the samples of a batch share a pass.
"""
