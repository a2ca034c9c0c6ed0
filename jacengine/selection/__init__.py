"""Which method: facts, then truth, then speed.

`candidates` lists the methods there are for a problem, `eligibility` finds those that
run and fit (`memory_model`), `reference` verifies what they compute, `race` times them
against each other, `select` puts these together, and `explain` shows the outcome.
"""
