"""Surrogate brains: models of x(t+1) = f(x(t), ..., x(t-p+1), u(t)) + noise, fitted per recording.

Nothing heavy is imported here. Start at `bids_ai.surrogate.fit.fit_recordings`.
"""
