"""Connectomes: functional connectivity of region series. Start at `bids_ai.connectome.functional`."""
