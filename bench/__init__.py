"""Problems with references, other libraries to compare with, and benchmarks."""
