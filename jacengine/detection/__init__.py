"""Finding the sparsity pattern of a Jacobian: read from a program, or by probing."""
