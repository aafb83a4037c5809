"""The surrogate families: one file each, named in `bids_ai.surrogate.registry`."""
