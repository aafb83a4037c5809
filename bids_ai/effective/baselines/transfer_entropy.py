"""Transfer entropy of Gaussian variables, several lags, corrected for the bias of short recordings.

TE(i -> j) = H(x_j(t) | own past) - H(x_j(t) | own past and past of i): for Gaussian variables half the Granger
causality log(RSS_reduced / RSS_full) (Barnett, Barrett & Seth 2009), so that the two rank edges alike and only the
correction sets them apart. The conditional transfer entropy, given all other regions, is half of `granger`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.effective.baselines.base import Baseline
from bids_ai.effective.baselines.bivariate_granger import bivariate_granger
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray

ORDER = 3


def _transfer_entropy(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """Transfer entropy, nats; around zero without transfer, hence also slightly negative.

    A residual sum of squares with d degrees of freedom is a variance times chi-squared(d), whose expected logarithm is
    digamma(d / 2) + log 2: taking that off each conditional entropy removes the bias, order / (2 n_samples) to first
    order (as for the Gaussian entropies of Misra, Singh & Demchuk 2005, doi:10.1016/j.jmva.2003.10.003).
    """
    from scipy.special import digamma

    pairs = bivariate_granger(prepared, options["order"])
    bias = float(digamma(pairs.dof_reduced / 2) - digamma(pairs.dof_full / 2))
    out: FloatArray = (pairs.log_ratio - bias) / 2
    return out


BASELINE = Baseline(
    name="transfer-entropy",
    label="transferentropy",
    compute=_transfer_entropy,
    directed=True,
    units="nats",
    citation="Schreiber 2000, doi:10.1103/PhysRevLett.85.461; Barnett, Barrett & Seth 2009, "
    "doi:10.1103/PhysRevLett.103.238701",
    defaults={"order": ORDER},
)
