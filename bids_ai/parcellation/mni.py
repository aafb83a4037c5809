"""Names of the MNI152 variants, and their other spellings."""

from __future__ import annotations

import re

from bids_ai.errors import InputError

MNI152_SPACES = (
    "MNI152NLin6Asym",
    "MNI152NLin6Sym",
    "MNI152NLin2009aSym",
    "MNI152NLin2009aAsym",
    "MNI152NLin2009bSym",
    "MNI152NLin2009bAsym",
    "MNI152NLin2009cSym",
    "MNI152NLin2009cAsym",
)
"""Supported spaces, as BIDS and TemplateFlow call them. FSL's MNI152 template is MNI152NLin6Asym."""

_FAMILY_ONLY = {"mni", "mni152", "mni152lin", "mni152nlin", "icbm152", "mni152nlin2009", "icbm", "mniicbm152"}


def canonical_space(text: str, *, where: str = "the atlas") -> str:
    """Translate a spelling of an MNI152 space into its BIDS name.

    Parameters
    ----------
    text : str
        Such as ``MNI152NLin2009cAsym``, ``2009cAsym``, ``FSL``, ``ICBM 2009a Nonlinear Symmetric``.
    where : str
        What bears the text, for the message.

    Returns
    -------
    str
        One of `MNI152_SPACES`.

    Raises
    ------
    InputError
        If the variant is not stated, or the space is no MNI152 space.
    """
    key = re.sub(r"[^a-z0-9]", "", text.lower())
    variants = ", ".join(MNI152_SPACES)
    year = re.search(r"2009([abc]).*?(asym|sym)", key)
    if year:
        return f"MNI152NLin2009{year.group(1)}{'Asym' if year.group(2) == 'asym' else 'Sym'}"
    if re.fullmatch(r"(mni152|mni)?nlin6(asym|sym)?", key):
        return "MNI152NLin6Sym" if key.endswith("nlin6sym") else "MNI152NLin6Asym"
    if re.fullmatch(r"fsl(mni152|mni)?", key):
        return "MNI152NLin6Asym"
    if key in _FAMILY_ONLY:
        raise InputError(
            f"The space of {where} is given as {text!r}, which names a family of templates that differ by several "
            f"millimetres. State the variant (--atlas-space): {variants}."
        )
    raise InputError(
        f"The space of {where} is {text!r}. Only volumes in an MNI152 space can be used: {variants}. "
        "Surfaces, native space, MNI305 and Talairach are not supported: bring the atlas to one of these first."
    )
