"""Effective connectivity: what a push of one region does to the others in a fitted surrogate.

Rows are sources, columns are targets. Start at `bids_ai.effective.perturbation.push`.
"""
