"""Responses to single-pulse electrical stimulation (CCEP): from a recording to epochs, measures, responders, matrices.

Arrays in, arrays out. Trials are (n_pulses, n_channels, n_times) in volts; measures bear their unit in their name; rows
of matrices are stimulated, columns are recorded. Start at `epochs.plan_sites`, `registry.measure`,
`responders.PseudoOnsetNull` and `matrices.pair_matrices`.
"""
