"""What is asked: a call, what it differentiates, and what it gives back.

`examine` runs the function once and makes a `Problem` of it; a `BoundFunction` is the
function
bound to arguments; a `Signature` says which other arguments are of the same kind.
"""
