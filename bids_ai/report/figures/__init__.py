"""Report figures: one module per kind, one function per figure, each writes one file.

Nothing is imported here, so that ``import bids_ai.report.figures`` stays cheap; import the module that is needed,
such as ``from bids_ai.report.figures.anat import plot_brain_mask``.
"""
