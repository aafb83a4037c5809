"""Families of measures of a response, one module each; `bids_ai.ccep.registry` names them."""
