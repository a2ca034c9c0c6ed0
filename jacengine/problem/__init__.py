"""What is to be computed: a call, what it differentiates, and its result.

`analyze` runs the function once and makes a `Problem` of it; a `BoundFunction` is the
function bound to arguments; a `Signature` says which other arguments are of the same
kind.
"""
