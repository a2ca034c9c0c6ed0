"""Adapters to other libraries, each optional."""
