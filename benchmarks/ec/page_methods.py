"""Tables of the comparison of methods: one per system, the margins over the baselines, and what changes the scores."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmarks.ec.markdown import interval, number, seconds, table
from benchmarks.ec.settings import FULL, Setting
from benchmarks.ec.statistics import Mean, bootstrap_mean, paired_difference
from benchmarks.ec.tables import base_rows, setting_rows

OVERVIEW = ("ridge-var", "ou", "state-space", "mlp", "npi-mlp", "auto")
STRUCTURAL_KINDS = ("exact", "symmetrised", "noisy")
RIVALS = ("pearson", "var-coefficient", "lagged-covariance", "mou-ec", "npi-mlp", "auto")
"""Methods whose scores are followed over lengths, noise and couplings, without structural connectivity."""


def systems_in(rows: pd.DataFrame) -> list[str]:
    """Systems in the order of the table."""
    return list(dict.fromkeys(rows["system"])) if not rows.empty else []


def mean_of(rows: pd.DataFrame, method: str, structural: str = "none", score: str = "r") -> Mean:
    """Mean of a score of one method over seeds."""
    chosen = rows[(rows["method"] == method) & (rows["structural"] == structural)]
    return bootstrap_mean(chosen[score]) if score in chosen else bootstrap_mean([])


def best_baseline(rows: pd.DataFrame, structural: str, score: str = "r") -> str | None:
    """Baseline with the highest mean score among those that were given this structural connectivity, or none."""
    known = rows[(rows["kind"] == "baseline") & rows["structural"].isin(["none", structural])].dropna(subset=score)
    if known.empty:
        return None
    # A baseline that takes a structural connectivity counts with it where there is one.
    means = known.groupby(["method", "structural"], as_index=False)[score].mean()
    return str(means.loc[means[score].idxmax(), "method"])


def baseline_rows(rows: pd.DataFrame, method: str, structural: str, score: str = "r") -> pd.Series:
    """Rows of a baseline in a condition: with the structural connectivity where that is better or all there is."""
    kinds = rows[(rows["method"] == method) & rows["structural"].isin(["none", structural])]
    best = kinds.groupby("structural")[score].mean().idxmax()
    mask: pd.Series = (rows["method"] == method) & (rows["structural"] == best)
    return mask


def overview(results: pd.DataFrame) -> str:
    """Mean r of some methods over all systems, without structural connectivity."""
    lines = []
    for system in systems_in(results):
        rows = base_rows(results, system)
        best = best_baseline(rows, "none")
        cells = [f"`{system}`", str(rows["seed"].nunique())]
        cells.append(f"{number(mean_of(rows, best).value)} `{best}`" if best else "")
        cells += [_pair(rows, method) for method in OVERVIEW]
        lines.append(cells)
    return table(["system", "seeds", "best baseline", *(f"`{name}`" for name in OVERVIEW)], lines)


def _pair(rows: pd.DataFrame, method: str) -> str:
    """r, and r of the antisymmetric parts in brackets."""
    r, directed = mean_of(rows, method), mean_of(rows, method, score="antisymmetric_r")
    if not r.n:
        return ""
    return f"{number(r.value)} ({number(directed.value)})" if directed.n else number(r.value)


def per_system(results: pd.DataFrame) -> str:
    """One table per system: all methods without structural connectivity, then those that take one."""
    parts = []
    for system in systems_in(results):
        rows = base_rows(results, system)
        first = rows.iloc[0]
        parts.append(f"### `{system}`\n\n{first['frames']} frames, observation noise {first['noise']:g} SD.\n")
        parts.append(_without_structural(rows))
        if (rows["structural"] != "none").any():
            parts.append(_with_structural(rows))
    return "\n".join(parts)


def _without_structural(rows: pd.DataFrame) -> str:
    plain = rows[rows["structural"] == "none"]
    header = ["method", "n", "r", "antisymmetric r", "Spearman r", "AUROC", "self-symmetry", "held-out R2", "s"]
    lines = []
    for method, group in _by_score(plain):
        cells = [_label(method, group), str(len(group.dropna(subset="r"))), interval(bootstrap_mean(group["r"]))]
        cells.append(interval(bootstrap_mean(group["antisymmetric_r"])))
        cells += [number(_mean(group, score)) for score in ("spearman", "auroc", "self_symmetry", "heldout_r2")]
        lines.append([*cells, seconds(_mean(group, "process_s"))])
    return table(header, lines)


def _with_structural(rows: pd.DataFrame) -> str:
    header = ["method with SC", *(f"{kind}: r" for kind in STRUCTURAL_KINDS)]
    header += [f"{kind}: antisymmetric r" for kind in STRUCTURAL_KINDS]
    lines = []
    given = rows[rows["structural"] != "none"]
    for method, group in _by_score(given):
        cells = [_label(method, group)]
        for score in ("r", "antisymmetric_r"):
            cells += [interval(mean_of(rows, method, kind, score)) for kind in STRUCTURAL_KINDS]
        lines.append(cells)
    return table(header, lines)


def _by_score(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Methods by mean r, best first; those without a score last."""
    means = rows.groupby("method", sort=False)["r"].mean().sort_values(ascending=False, na_position="last")
    for method in means.index:
        yield str(method), rows[rows["method"] == method]


def _label(method: str, group: pd.DataFrame) -> str:
    """Name of a method, and what was returned in its place or chosen by it."""
    if "family" not in group:
        return f"`{method}`"
    returned = group["family"].dropna()
    if returned.empty or (returned == method).all():
        return f"`{method}`"
    counts = returned.value_counts()
    named = ", ".join(
        f"{name} {count} of {len(returned)}" if len(counts) > 1 else str(name) for name, count in counts.items()
    )
    return f"`{method}`: {named}"


def _mean(group: pd.DataFrame, score: str) -> float:
    return float(group[score].mean()) if score in group else float("nan")


def margins(results: pd.DataFrame) -> str:
    """Paired differences of r between the surrogates and the best baseline of each condition."""
    lines = []
    for system in systems_in(results):
        rows = base_rows(results, system)
        for structural in ("none", *STRUCTURAL_KINDS):
            best = best_baseline(rows, structural)
            here = rows[(rows["kind"] == "surrogate") & (rows["structural"] == structural)].dropna(subset="r")
            if best is None or here.empty:
                continue
            reference = baseline_rows(rows, best, structural)
            winner = str(here.groupby("method")["r"].mean().idxmax())
            cells = [f"`{system}`", structural, f"`{best}` {number(float(rows.loc[reference, 'r'].mean()))}"]
            for method in ("auto", winner):
                ours = (rows["method"] == method) & (rows["structural"] == structural)
                gain = paired_difference(rows, ours, reference, "r")
                cells.append(_gain(f"`{method}` " if method != "auto" or winner == "auto" else "", gain))
            lines.append(cells)
    return table(["system", "SC", "best baseline: r", "`auto` less it", "best surrogate less it"], lines)


def _gain(label: str, gain: Mean) -> str:
    return f"{label}{interval(gain)}" if gain.n else ""


def variations(results: pd.DataFrame) -> str:
    """Mean r of some methods over the settings that differ from the base."""
    parts = []
    for system in systems_in(results):
        if system not in FULL:
            continue
        base = FULL[system].base
        lines = []
        for setting in [base, *FULL[system].variations()]:
            rows = setting_rows(results, setting)
            if rows.empty:
                continue
            cells = [_difference(setting, base), str(rows["seed"].nunique())]
            lines.append(cells + [_pair(rows, method) for method in RIVALS])
        if len(lines) > 1:
            parts.append(f"`{system}`\n")
            parts.append(table(["setting", "seeds", *(f"`{method}`" for method in RIVALS)], lines))
    return "\n".join(parts) or "Nothing was run.\n"


def _difference(setting: Setting, base: Setting) -> str:
    if setting == base:
        return f"base: {base.frames} frames, noise {base.noise:g}, coupling 1"
    if setting.frames != base.frames:
        return f"{setting.frames} frames"
    return f"noise {setting.noise:g} SD" if setting.noise != base.noise else f"coupling x {setting.gain:g}"
