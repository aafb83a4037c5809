"""Numbers as they are shown: with their unit, n/a for what is missing, and a true minus sign."""

from __future__ import annotations

import math

from bids_ai.report.model import Scalar

MINUS, NO_BREAK, THIN = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}"
#: Significant figures of a float whose decimals are not given.
SIGNIFICANT = 3


def format_value(value: Scalar, unit: str = "", digits: int | None = None) -> str:
    r"""Return a value as shown in the report.

    Parameters
    ----------
    value : float, int, str, bool or None
        None and NaN become "n/a", without a unit.
    unit : str
    digits : int, optional
        Decimals; by default three significant figures for floats, without trailing zeros.

    Examples
    --------
    >>> format_value(1532.25, "mL", 0)
    '1\u202f532\xa0mL'
    >>> format_value(-0.01234)
    '\u22120.0123'
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "n/a"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = value if isinstance(value, str) else _number(value, digits)
    return f"{text}{NO_BREAK}{unit}" if unit else text


def _number(value: float, digits: int | None) -> str:
    if isinstance(value, float) and math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    if digits is None:
        digits = 0 if float(value).is_integer() else max(0, SIGNIFICANT - 1 - _exponent(value))
        if digits > 6:
            return _scientific(value)
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if digits else text
    else:
        text = f"{value:,.{digits}f}"
    return text.replace(",", THIN).replace("-", MINUS)


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.{SIGNIFICANT - 1}e}".split("e")
    return f"{mantissa}{NO_BREAK}×{NO_BREAK}10^{int(exponent)}".replace("-", MINUS)
