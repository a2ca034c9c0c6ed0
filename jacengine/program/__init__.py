"""Functions as programs: captured graphs of operators, and what is read off them."""
