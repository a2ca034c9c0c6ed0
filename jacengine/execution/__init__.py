"""Running a method: the one loop over directions, eager or compiled.

`method` says what is run, `sweep` runs it, `execution_context` holds the settings that
it needs, `kernel_fallbacks` replaces fused kernels that lack a formula, `compiled`
traces and compiles a whole sweep, `matvec` applies single products.
"""
