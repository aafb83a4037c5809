"""How well predictions meet recorded responses, with intervals, ceilings, nulls, and gains over simpler ones.

Arrays in, a table out. Start at `recorded.Recorded` and `table.score_table`; docs/ccep_scoring.md has the definitions.
"""
