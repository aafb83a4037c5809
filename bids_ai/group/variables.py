"""Columns of a table of subjects as numbers: groups, measurements, and a contrast made of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bids_ai.errors import InputError
from bids_ai.group.design import Design
from bids_ai.parcellation.names import listed

#: No measurement is as large, in whatever unit; squares of such numbers are no numbers any more.
_MOST = 1e100


@dataclass(frozen=True)
class Variable:
    """One column.

    Parameters
    ----------
    name : str
    values : dict of str to float
        By subject; subjects without a value are not in it. Of groups: the position in `levels`.
    levels : tuple of str
        Names of the groups, sorted; empty for a measurement.
    """

    name: str
    values: Mapping[str, float]
    levels: tuple[str, ...]

    def columns(self, subjects: Sequence[str]) -> list[list[float]]:
        """Columns of a design: the numbers, or one indicator for each group but the first."""
        values = [self.values[subject] for subject in subjects]
        if not self.levels:
            return [values]
        return [[float(value == level) for value in values] for level in range(1, len(self.levels))]


@dataclass(frozen=True)
class ContrastPlan:
    """What is to be tested, and adjusted for what.

    Parameters
    ----------
    variable : Variable
        Two groups, or a measurement.
    covariates : tuple of Variable
    """

    variable: Variable
    covariates: tuple[Variable, ...] = ()

    @property
    def words(self) -> str:
        """Say what an effect is."""
        levels = self.variable.levels
        return f"{levels[1]} minus {levels[0]}" if levels else f"slope per unit of {self.variable.name}"

    def missing(self, subject: str) -> str:
        """Say which value a subject lacks; empty if none."""
        lacking = [one.name for one in (self.variable, *self.covariates) if subject not in one.values]
        return f"no value of {', '.join(lacking)} in participants.tsv" if lacking else ""

    def design(self, subjects: Sequence[str]) -> Design:
        """Design of subjects that lack no value."""
        effect = np.array([self.variable.values[subject] for subject in subjects], dtype=float)
        columns = [column for one in self.covariates for column in one.columns(subjects)]
        covariates = np.array(columns, dtype=float).T.reshape(len(subjects), len(columns))
        return Design(effect, covariates)

    def group_sizes(self, subjects: Sequence[str]) -> dict[str, int]:
        """How many subjects each group has; empty for a measurement."""
        values = [self.variable.values[subject] for subject in subjects]
        return {level: values.count(float(number)) for number, level in enumerate(self.variable.levels)}


def plan_contrast(
    table: pd.DataFrame, contrast: str, covariates: Sequence[str], subjects: Sequence[str]
) -> ContrastPlan:
    """Make a contrast of columns of participants.tsv, and refuse it here if it cannot be estimated.

    Parameters
    ----------
    table : pandas.DataFrame
        Text, one row a subject, indexed by ``sub-LABEL`` (`bids_ai.bids.participants.read_participants`).
    contrast : str
        Column with two groups, or with numbers. Two different numbers are two groups.
    covariates : sequence of str
        Columns with groups or numbers.
    subjects : sequence of str
        Those that may be used.

    Raises
    ------
    InputError
        For an unknown column, with the known ones; for a column that is neither groups nor numbers; and for a contrast
        that cannot be estimated: a group of one, a covariate that says the same, too few subjects.
    """
    if contrast in covariates:
        raise InputError(f"{contrast} is the contrast and cannot be a covariate as well.")
    variable = _variable(table, contrast, subjects)
    if len(variable.levels) > 2:
        sizes = [f"{level} ({list(variable.values.values()).count(number)})" for number, level in _counted(variable)]
        raise InputError(
            f"The column {contrast} has {len(sizes)} groups, and a contrast is of two or of numbers: {listed(sizes)}."
        )
    plan = ContrastPlan(variable, tuple(_variable(table, name, subjects) for name in dict.fromkeys(covariates)))
    complete = [subject for subject in subjects if not plan.missing(subject)]
    if not complete:
        raise InputError(f"No subject has a value in all of {', '.join([contrast, *covariates])}.")
    fault = plan.design(complete).fault()
    if fault:
        sizes = [f"{level}: {n}" for level, n in plan.group_sizes(complete).items()]
        there = f" Subjects with all values: {len(complete)}{f' ({listed(sizes)})' if sizes else ''}."
        raise InputError(f"The contrast of {contrast} cannot be estimated: {fault}.{there}")
    return plan


def _counted(variable: Variable) -> list[tuple[float, str]]:
    return [(float(number), level) for number, level in enumerate(variable.levels)]


def _variable(table: pd.DataFrame, name: str, subjects: Sequence[str]) -> Variable:
    if name not in table:
        known = [str(column) for column in table.columns]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise InputError(f"participants.tsv has no column {name}.{hint} It has: {', '.join(known) or 'none'}.")
    column = table[name].reindex(list(subjects)).dropna()
    if column.empty:
        raise InputError(f"The column {name} has no value for any of the subjects.")
    numbers = pd.to_numeric(column, errors="coerce")
    large = numbers.index[np.isfinite(numbers) & (numbers.abs() > _MOST)]
    if len(large):
        raise InputError(
            f"The column {name} says {str(column[large[0]])[:30]} of {large[0]}, with which nothing can be reckoned; "
            "correct it, or write n/a."
        )
    if np.isfinite(numbers.to_numpy(dtype=float)).all() and numbers.nunique() != 2:
        return Variable(name, {str(subject): float(value) for subject, value in numbers.items()}, ())
    levels = tuple(sorted({str(value) for value in column}, key=_by_number))
    return Variable(name, {str(subject): float(levels.index(value)) for subject, value in column.items()}, levels)


def _by_number(level: str) -> tuple[float, str]:
    """2 before 10."""
    try:
        return float(level), level
    except ValueError:
        return float("inf"), level
