"""Which method: facts, then safety, then speed.

`qualify` finds how a strategy runs and what memory it takes (`appetite`), `truth`
verifies what it computes, and `race` times it against the others.
"""
