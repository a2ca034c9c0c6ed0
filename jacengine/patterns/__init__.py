"""Sparsity patterns of matrices, and colourings of their rows and columns."""
