"""Which options of sparse results fit each other."""

from __future__ import annotations

from jacengine.errors import ArgumentError
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
