"""Which options of sparse results fit each other."""

from __future__ import annotations

from jacengine.errors import ArgumentError, nearest
from jacengine.problem.problem import SPARSE, Options
from jacengine.problem.quantity import PARTS


def check_sparse_options(options: Options) -> None:
    """Refuse options that do not fit each other, or that a sparse result lacks.

    Raises:
        ArgumentError: There is one.
    """
    if not isinstance(options.verify, bool):
        raise ArgumentError(
            f"verify={options.verify!r}: expected True, or False to leave out the "
            "random direction that checks a sparsity pattern at every call."
        )
    if options.triangle is not None:
        _check_triangle(options)
    if options.layout not in SPARSE:
        return
    layout = f"layout={options.layout!r}"
    if options.rows is not None or options.columns is not None:
        raise ArgumentError(
            f"{layout} holds all rows and columns; leave rows= and columns= out, and "
            "take them out of the result."
        )
    if options.sparsity is None:
        raise ArgumentError(
            f"{layout} needs a sparsity pattern; leave sparsity=None out, or give one."
        )
    if PARTS[options.quantity] != "whole":
        raise ArgumentError(f"{layout} is of a matrix, not of a {options.quantity}.")
    if options.layout == "csr" and options.create_graph:
        raise ArgumentError(
            "The gradient of a CSR tensor's values is a dense matrix in torch. With "
            "create_graph=True choose layout='values' or 'coo'."
        )


def _check_triangle(options: Options) -> None:
    """Refuse a triangle of what has none.

    Raises:
        ArgumentError: It is not known, or not of a sparse Hessian.
    """
    triangle = f"triangle={options.triangle!r}"
    if options.triangle != "lower":
        raise ArgumentError(
            f"{triangle}: expected 'lower', or None for both."
            f"{nearest(str(options.triangle), ['lower'])}"
        )
    if options.quantity != "hessian":
        raise ArgumentError(
            f"{triangle} is of a Hessian, which is symmetric, not of a "
            f"{options.quantity}; leave triangle= out."
        )
    if options.layout not in SPARSE:
        raise ArgumentError(
            f"{triangle} is of a sparse result; with layout={options.layout!r} take "
            "H.tril(), or choose layout='coo', 'csr' or 'values'."
        )
