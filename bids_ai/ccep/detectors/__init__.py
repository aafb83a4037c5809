"""Published detectors of responses as they were described, one module each; `bids_ai.ccep.registry` names them.

They are presets for comparison. Their false positives depend on the spectrum and the number of pulses
(docs/ccep_detection.md); `bids_ai.ccep.responders` is calibrated.
"""
