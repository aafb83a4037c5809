"""What other patients responded with between the same regions."""

from __future__ import annotations

from bids_ai.ccep.prediction.base import MatrixPredictor


def group_prior() -> MatrixPredictor:
    """A given table of probabilities or amplitudes between regions, made without the patient."""
    return MatrixPredictor(
        "group-prior", "a table of other patients", "Trebaul et al. 2018 (PMC6150949)", "group_prior"
    )
