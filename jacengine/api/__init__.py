"""The functions that users call: signatures and docstrings, and little else.

`strategies` is the only place that knows the built-in strategies; everything below gets
those that it may use in a `PlanRequest`.
"""
