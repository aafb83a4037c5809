"""What kind of knowledge a predictor rests on, for the order and the colours of tables and figures."""

from __future__ import annotations

BASELINE = "without a model of the brain"
STRUCTURE = "structure"
FUNCTION = "function"
EFFECTIVE = "effective connectivity"
RESTING = "model of resting iEEG"
COMBINED = "combined"
CHANNEL = "learns the channel at other sites"
CEILING = "ceiling within the patient"

#: In the order in which they are shown: what is simplest first.
KINDS = (BASELINE, STRUCTURE, FUNCTION, EFFECTIVE, RESTING, COMBINED, CHANNEL, CEILING)

_OF = {
    "prevalence": BASELINE,
    "distance": BASELINE,
    "distance-covariates": BASELINE,
    "rest-amplitude": BASELINE,
    "group-prior": BASELINE,
    "sc": STRUCTURE,
    "communicability": STRUCTURE,
    "shortest-path": STRUCTURE,
    "diffusion": STRUCTURE,
    "jansen-rit": STRUCTURE,
    "fc": FUNCTION,
    "ec": EFFECTIVE,
    "ec-multistep": EFFECTIVE,
    "ec-transposed": EFFECTIVE,
    "ec-symmetrised": EFFECTIVE,
    "ec-ieeg": RESTING,
    "impulse-response": RESTING,
    "impulse-refined": RESTING,
    "evoked-kernel": CHANNEL,
    "channel-mean": CEILING,
    "nearest-site": CEILING,
    "reverse-edge": CEILING,
}


def kind_of(name: str) -> str:
    """Kind of a predictor by its name; those that are made of several are `COMBINED`."""
    return _OF.get(name, COMBINED)
