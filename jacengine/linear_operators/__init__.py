"""Jacobians as linear operators, which never form the matrix.

`factored` keeps each layer's inputs and cotangents, `matrix_free` applies JVPs and VJPs
of the function (chosen by `method_pair`), and `jacobian_operator` is what users hold.
`hvp` is one product with a Hessian.
"""
