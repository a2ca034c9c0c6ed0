"""Jacobians that are never formed: `jacengine.operator(...)`.

`factored` keeps each layer's inputs and cotangents, `matrix_free` pushes and pulls
through the function; `operator` is what users hold.
"""
