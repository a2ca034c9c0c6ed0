"""From seeds to J: products with a Jacobian, put together.

`seeding` says which directions are taken, `batching` how samples share a pass,
`accumulate` runs the one loop, and `assembly` places the products in J.
"""
