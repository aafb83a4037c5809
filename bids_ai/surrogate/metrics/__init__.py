"""Scores of a generated series against a recorded one: pure functions of arrays, one subject per module.

Series are (n_times, n_regions), time first, in SD units, or sequences of such runs (an array of chains
(n_chains, n_times, n_regions) is one). NaN rows are gaps, and nothing is computed across a gap or across the end of
a run. Where there are too few frames for a score it is NaN.
"""
