"""Baselines of effective connectivity: what a surrogate has to beat, all under one interface.

Nothing heavy is imported here. Start at `bids_ai.effective.baselines.registry.get_baseline`.
"""
