"""Analyses that propagate through the operators of a function."""
