"""Prediction of responses that fall with distance, from what lies in an output folder: scores, tables, figures, words.

Four leads of six contacts in noise, two stimulated pairs on each; a response is the larger the nearer its channel.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.stats import spearmanr

from bids_ai.bids.description import write_root
from bids_ai.bids.electrophysiology.brainvision import write_brainvision
from bids_ai.bids.files import read_json
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import read_relmat, read_table, write_relmat, write_table
from bids_ai.ccep.prediction.registry import PREDICTORS
from bids_ai.errors import InputError
from bids_ai.stages import (
    atlas,
    ccep_features,
    ccep_figures,
    ccep_predict,
    contact_model,
    ieeg_preprocess,
    methods_electrophysiology,
    summary_electrophysiology,
    summary_prediction,
    summary_prediction_sites,
)
from bids_ai.stages.context import Context
from tests.conftest import DESCRIPTION, call_bids_ai

ITEM = "sub-01/ieeg/sub-01_task-ccep"
ATLAS = "atlas-EqualVolume_scale-20"
TEMPLATE = "MNI152NLin2009cSym"
HZ, REST_S, INTERVAL_S, PULSES = 256, 80.0, 3.0, 6
LEADS = {"A": (-1, -40), "B": (-1, 20), "C": (1, -40), "D": (1, 20)}
NAMES = [f"{lead}{number}" for lead in LEADS for number in range(1, 7)]
CHANNELS = [f"{lead}{number}-{lead}{number + 1}" for lead in LEADS for number in range(1, 6)]
SITES = [(f"{lead}{first}", f"{lead}{first + 1}") for lead in LEADS for first in (1, 5)]


def place(name: str) -> np.ndarray:
    side, y = LEADS[name[0]]
    return np.array([side * (15.0 + 7.0 * int(name[1:])), y, 15.0])


def write_dataset(root: Path, sites: list[tuple[str, str]], frame: str = TEMPLATE) -> Path:
    folder = root / "sub-01" / "ieeg"
    folder.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps(DESCRIPTION))
    rng = np.random.default_rng(5)
    onsets = REST_S + INTERVAL_S * np.arange(PULSES * len(sites))
    n_times = round((onsets[-1] + INTERVAL_S) * HZ)
    slow = np.zeros((n_times, len(NAMES)))
    for t in range(1, n_times):  # stationary, so that a model of it is
        slow[t] = 0.97 * slow[t - 1] + rng.standard_normal(len(NAMES))
    data = 10 * slow / slow.std(axis=0)
    times = np.arange(round(0.2 * HZ)) / HZ
    wave = -np.exp(-0.5 * ((times - 0.03) / 0.008) ** 2)
    rows = ["onset\tduration\ttrial_type\telectrical_stimulation_site\telectrical_stimulation_current"]
    for number, onset in enumerate(onsets):
        first, second = sites[number % len(sites)]
        start, middle = round(onset * HZ), (place(first) + place(second)) / 2
        for column, name in enumerate(NAMES):
            # Every other contact responds, so that each difference of neighbours holds one response.
            size = 400 * np.exp(-np.linalg.norm(place(name) - middle) / 25) * (column % 2)
            data[start : start + len(times), column] += size * wave
        rows.append(f"{onset:.6f}\t0.001\telectrical_stimulation\t{first}-{second}\t0.006")
    units = np.clip(np.rint(data / 0.1), -32000, 32000).astype(np.int16)
    stem = folder / "sub-01_task-ccep"
    write_brainvision(
        folder / f"{stem.name}_ieeg", [units], names=NAMES, sampling_hz=float(HZ), reference="n/a", resolution_uv=0.1
    )
    meta = {"TaskName": "ccep", "SamplingFrequency": HZ, "PowerLineFrequency": 50}
    (folder / f"{stem.name}_ieeg.json").write_text(json.dumps(meta))
    lines = [f"{name}\tSEEG\tuV\t{name[0]}\tgood" for name in NAMES]
    (folder / f"{stem.name}_channels.tsv").write_text("\n".join(["name\ttype\tunits\tgroup\tstatus", *lines]) + "\n")
    (folder / f"{stem.name}_events.tsv").write_text("\n".join(rows) + "\n")
    described = {"electrical_stimulation_current": {"Description": "current", "Units": "A"}}
    (folder / f"{stem.name}_events.json").write_text(json.dumps(described))
    space = f"sub-01_space-{frame}"
    system = {"iEEGCoordinateSystem": frame, "iEEGCoordinateUnits": "mm"}
    if frame == "Other":
        system["iEEGCoordinateSystemDescription"] = "of the planning station"
    (folder / f"{space}_coordsystem.json").write_text(json.dumps(system))
    places = ["\t".join([name, *(f"{value:g}" for value in place(name))]) for name in NAMES]
    (folder / f"{space}_electrodes.tsv").write_text("\n".join(["name\tx\ty\tz", *places]) + "\n")
    return root


def prepare(
    root: Path, work: Path, settings: str = "", sites: list[tuple[str, str]] = SITES, frame: str = TEMPLATE
) -> Context:
    """Index the dataset, measure its responses, and fit the model between its contacts."""
    data = write_dataset(root / "data", sites, frame)
    file = root / "settings.yaml"
    text = "ccep: {n_draws: 1000, responder: ftract-z5, detectors: []}\n"
    file.write_text(f"{text}prediction: {{n_bootstrap: 200, n_permutations: 100{settings}}}\n")
    call = ["index", data, root / "out", "-w", work, "--config-file", file, "--skip-bids-validation"]
    answer = call_bids_ai(
        *call, "--atlases", "EqualVolume:20", "--device", "cpu", "--stages", "ieeg", "ccep", "prediction"
    )
    assert answer.code == 0, answer.text
    [config] = re.findall(r"^Configuration: (.*)$", answer.out, re.MULTILINE)
    context = Context.load(Path(config))
    ieeg_preprocess.run(context, ITEM)
    ccep_features.run(context, ITEM)
    atlas.run(context, ATLAS)
    contact_model.run(context, ITEM)
    return context


@pytest.fixture(autouse=True, scope="module")
def _without_other_figures() -> Iterator[None]:
    # They are drawn elsewhere, and take longer than all else here.
    drawn = ((ieeg_preprocess, "_figures"), (ccep_figures, "draw_responses"), (ccep_figures, "draw_contacts"))
    with pytest.MonkeyPatch.context() as patch:
        for module, name in drawn:
            patch.setattr(module, name, lambda *_: None)
        yield


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory, atlas_cache: Path) -> Context:
    folder = tmp_path_factory.mktemp("predicted")
    shutil.copytree(atlas_cache, folder / "work" / "cache")
    context = prepare(folder, folder / "work")
    ccep_predict.run(context, ITEM, ATLAS)
    return context


def scores_of(context: Context):
    return read_table(context.names.path("ccep_scores", ieeg=ITEM, atlas=ATLAS))


def test_distance_predicts_what_falls_with_distance(predicted: Context):
    table = scores_of(predicted)
    rows = table[(table["split"] == "leave-site-out") & (table["radius"] == 13)].set_index(["model", "metric"])
    assert set(table["model"]) == set(PREDICTORS)
    assert rows.loc[("distance", "spearman"), "value"] > 0.8
    assert rows.loc[("distance", "spearman"), "n_sites"] == len(SITES)
    assert rows.loc[("distance", "spearman"), "ceiling"] > 0.8
    # There is neither DWI nor BOLD: said, and no number.
    for model in ("sc", "fc", "ec", "distance+sc+fc+ec"):
        row = rows.loc[(model, "spearman")]
        assert np.isnan(row["value"])
        assert "not given" in row["reason"]
    # By design it has nothing to go by where the split does not leak.
    assert set(table["split"][table["model"] == "reverse-edge"]) == {"leave-site-out-plain"}
    # The primary measure is given for other radii as well.
    assert set(table["radius"]) == {0, 13, 20, 30}
    meta = read_json(sidecar(predicted.names.path("ccep_scores", ieeg=ITEM, atlas=ATLAS)))
    assert meta["Adds"] is None
    assert "cannot be told" in meta["Verdict"]
    assert meta["Models"]["reverse-edge"]["Splits"] == ["leave-site-out-plain"]
    assert "hide the pair" in meta["Models"]["reverse-edge"]["Reason"]
    assert "not given" in meta["Models"]["ec"]["Reason"]


def test_a_row_for_every_site_and_channel_and_nothing_of_the_site_itself(predicted: Context):
    table = read_table(predicted.names.path("ccep_comparison", ieeg=ITEM, atlas=ATLAS))
    features = read_table(predicted.names.path("ccep_features", ieeg=ITEM))
    assert len(table) == len(features) == len(SITES) * len(CHANNELS)
    assert list(table["rms_uv"]) == pytest.approx(list(features["rms_uv"]), nan_ok=True)
    pairs = zip(table["site"], table["channel"], strict=True)
    stimulated = [bool(set(site.split("-")) & set(channel.split("-"))) for site, channel in pairs]
    assert not table["counted"][stimulated].any()
    assert table["probability_distance"].dropna().between(0, 1).all()


def test_the_model_between_contacts_gives_waveforms_or_says_why_not(predicted: Context):
    path = predicted.names.path("contact_ec", ieeg=ITEM)
    matrix, names = read_relmat(path)
    assert names == CHANNELS
    meta = read_json(sidecar(path))
    assert meta["Status"] == "fitted"
    assert meta["Fit"]["Seconds"] > 60
    assert np.isfinite(matrix[~np.eye(len(matrix), dtype=bool)]).all()
    average = predicted.names.path("ccep_predicted_average", ieeg=ITEM, atlas=ATLAS, model="impulseresponse")
    evokeds = mne.read_evokeds(average, verbose="error")
    assert [one.comment for one in evokeds] == ["-".join(site) for site in SITES]
    assert evokeds[0].ch_names == CHANNELS


def test_predicted_matrix_has_the_scale_and_order_of_the_recorded_one(predicted: Context):
    path = predicted.names.path("ccep_predicted", ieeg=ITEM, atlas=ATLAS, model="distance")
    matrix, names = read_relmat(path)
    nodes = read_table(predicted.names.path("atlas_table", atlas=ATLAS))
    assert names == list(nodes["name"])
    folder = path.parent
    assert {one.name.split("_model-")[1].split("_")[0] for one in folder.glob("*_desc-predicted_relmat.tsv")} == {
        "distance",
        "ecieeg",
    }
    known = matrix[np.isfinite(matrix)]
    assert len(known) > 4
    assert ((known >= 0) & (known <= 1)).all()
    assert read_json(sidecar(path))["RowRole"] == "stimulated region"


def test_report_says_it_in_two_sentences_and_a_table_simplest_first(predicted: Context):
    entry = predicted.index.recording(ITEM)
    of_effective, of_surrogate = summary_prediction.statements(predicted, entry)
    assert of_effective.section == of_surrogate.section == "prediction"
    assert "ffective connectivity" in of_effective.text
    assert "A model of resting iEEG" in of_surrogate.text
    table, missing, _ = summary_prediction.score_tables(predicted, entry)
    kinds = [row[1] for row in table.rows]
    assert kinds[0] == "without a model of the brain"
    assert kinds[-1] == "ceiling within the patient"
    reasons = dict(missing.rows)
    assert len(table.rows) + len(reasons) == len(PREDICTORS) - 1
    assert "reverse-edge" not in {row[0] for row in table.rows} | set(reasons)
    assert "distance" not in reasons
    assert "not given" in reasons["sc"]
    steps = [one["step"] for one in methods_electrophysiology.signal_steps(predicted, entry)]
    assert steps[-2:] == ["ccep_contact_model", "ccep_prediction"]
    figures = {path.name.split("_desc-")[1] for path in (predicted.output_dir / "sub-01/figures").glob("*_scores.svg")}
    assert figures == {f"{what}_scores.svg" for what in ("scores", "matrices", "output", "input", "sites", "waveforms")}


def test_report_has_a_row_for_each_site(predicted: Context):
    sites = summary_prediction.score_tables(predicted, predicted.index.recording(ITEM))[-1]
    assert sites.folded
    assert sites.section == "prediction"
    assert [row[0] for row in sites.rows] == ["-".join(site) for site in SITES]
    pairs = read_table(predicted.names.path("ccep_comparison", ieeg=ITEM, atlas=ATLAS))
    scores = scores_of(predicted)
    scores = scores[(scores["split"] == "leave-site-out") & (scores["radius"] == 13) & (scores["metric"] == "spearman")]
    [best] = [column.removeprefix("best model: ") for column in sites.columns if column.startswith("best model")]
    honest = scores[~scores["model"].isin(["nearest-site", "channel-mean", "reverse-edge"])]
    assert honest.set_index("model")["value"].idxmax() == best
    for row in sites.rows:
        own = pairs[(pairs["site"] == row[0]) & pairs["counted"]]
        cells = dict(zip(sites.columns, row, strict=True))
        assert cells["region"] == own["site_region"].iloc[0]
        assert cells["channels scored"] == len(own)
        for column, model in ((f"best model: {best}", best), ("distance", "distance")):
            told = own[["rms_uv", f"score_{model}"]].dropna()
            assert cells[column] == pytest.approx(spearmanr(*told.to_numpy().T).statistic, abs=0.0051)
        r = spearmanr(own["rms_odd_uv"], own["rms_even_uv"]).statistic
        assert cells["ceiling"] == pytest.approx((2 * r / (1 + r)) ** 0.5, abs=0.0051)
        # There is no DWI and no BOLD.
        assert cells["distance, SC, FC"] is None
        assert cells["distance, SC, FC, EC"] is None


def test_a_table_of_pairs_that_lacks_some_is_refused(predicted: Context):
    pairs = read_table(predicted.names.path("ccep_comparison", ieeg=ITEM, atlas=ATLAS))
    with pytest.raises(InputError, match="each site and channel"):
        summary_prediction_sites.site_table_of(pairs.iloc[1:], scores_of(predicted), "")


def test_a_table_of_other_patients_predicts_as_well(tmp_path: Path, shared_work: Path):
    prior = tmp_path / "prior_relmat.tsv"
    prior.touch()  # it is wanted before the first job; what it holds needs the names of the atlas
    context = prepare(tmp_path, shared_work, f", predictors: [distance, group-prior], group_prior: {prior}")
    nodes = read_table(context.names.path("atlas_table", atlas=ATLAS))
    places = nodes[["x", "y", "z"]].to_numpy(float)
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    write_relmat(prior, np.exp(-apart / 30), [str(name) for name in nodes["name"]], {"Directed": True})
    ccep_predict.run(context, ITEM, ATLAS)
    table = scores_of(context)
    row = table[(table["model"] == "group-prior") & (table["metric"] == "spearman")].iloc[0]
    assert row["value"] > 0.3
    assert set(table["model"]) == {"distance", "group-prior"}


def test_unknown_predictors_and_lost_tables_are_refused_before_the_first_job(tmp_path: Path, shared_work: Path):
    data = write_dataset(tmp_path / "data", SITES[:2])
    file = tmp_path / "settings.yaml"
    file.write_text(f"prediction: {{predictors: [distance, tea-leaves], group_prior: {tmp_path}/absent.tsv}}\n")
    call = ["index", data, tmp_path / "out", "-w", shared_work, "--config-file", file, "--skip-bids-validation"]
    answer = call_bids_ai(*call, "--atlases", "EqualVolume:20", "--device", "cpu")
    assert answer.code == 2
    assert "unknown tea-leaves; choose of prevalence" in answer.text
    assert "absent.tsv does not exist" in answer.text
    assert not (tmp_path / "out").exists()


def test_one_site_is_no_reason_to_stop(tmp_path: Path, shared_work: Path):
    context = prepare(tmp_path, shared_work, sites=SITES[:1])
    ccep_predict.run(context, ITEM, ATLAS)
    rows = scores_of(context)
    rows = rows[(rows["metric"] == "spearman") & (rows["radius"] == 13) & (rows["split"] == "leave-site-out")]
    assert rows["value"].isna().all()
    assert (rows["reason"].str.len() > 0).all()
    meta = read_json(sidecar(context.names.path("ccep_scores", ieeg=ITEM, atlas=ATLAS)))
    assert "cannot be told" in meta["Verdict"]


def test_contacts_of_an_unknown_frame_have_distances_and_signals(tmp_path: Path, shared_work: Path):
    context = prepare(tmp_path, shared_work, frame="Other")
    entry = context.index.recording(ITEM)
    assert not entry.located
    ccep_predict.run(context, ITEM, ATLAS)
    rows = scores_of(context)
    rows = rows[(rows["metric"] == "spearman") & (rows["radius"] == 13) & (rows["split"] == "leave-site-out")]
    values = rows.set_index("model")["value"]
    assert np.isfinite(values[["distance", "rest-amplitude", "impulse-refined"]]).all()
    assert values[["sc", "fc", "ec", "distance+sc+fc"]].isna().all()
    meta = read_json(sidecar(context.names.path("ccep_scores", ieeg=ITEM, atlas=ATLAS)))
    assert "not known which regions" in meta["Verdict"]
    assert "over distance and how loud" in meta["SurrogateVerdict"]
    assert meta["Connectivity"] == []
    assert not list(context.output_dir.rglob("*desc-predicted_relmat*"))
    notices = [notice.text for notice in summary_electrophysiology.signal_notices(context, entry)]
    assert any("rest on distance" in text for text in notices)


def test_the_validator_finds_no_error(predicted: Context):
    program = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("bids-validator-deno is not installed (pip install 'bids-ai[test]')")
    write_root(predicted.output_dir, dataset_name="ccep", links={"raw": str(predicted.index.bids_dir)})
    call = [program, str(predicted.output_dir), "--json"]
    told = subprocess.run(call, capture_output=True, text=True, timeout=300, check=False).stdout
    errors = [issue for issue in json.loads(told)["issues"]["issues"] if issue["severity"] == "error"]
    assert [f"{issue['code']} {issue.get('location')}" for issue in errors] == []


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_no_response_at_all_or_nothing_but_responses(predicted: Context, answer: float):
    path = predicted.names.path("ccep_features", ieeg=ITEM)
    before = path.read_bytes()
    table = read_table(path)
    table["responder"] = table["responder"].where(table["responder"].isna(), answer)
    write_table(path, table)
    try:
        ccep_predict.run(predicted, ITEM, ATLAS)
        rows = scores_of(predicted)
    finally:
        path.write_bytes(before)
    rows = rows[(rows["split"] == "leave-site-out") & (rows["radius"] == 13)].set_index(["model", "metric"])
    assert rows.loc[("distance", "spearman"), "value"] > 0.8  # amplitudes are there whatever counts as a response
    assert np.isnan(rows.loc[("distance", "auroc"), "value"])
    assert rows.loc[("distance", "auroc"), "reason"]


def test_a_model_left_by_another_version_is_told(predicted: Context):
    path = predicted.impulses(ITEM)
    before = path.read_bytes()
    with np.load(path) as kept:
        np.savez(path, impulses=kept["impulses"], times_s=kept["times_s"])
    try:
        with pytest.raises(InputError, match=r"lacks channel_sd: another version.*Delete it"):
            ccep_predict.run(predicted, ITEM, ATLAS)
    finally:
        path.write_bytes(before)


def test_nothing_but_a_model_that_the_split_hides(predicted: Context):
    settings = predicted.config.prediction.model_copy(update={"predictors": ["reverse-edge"]})
    alone = replace(predicted, config=predicted.config.model_copy(update={"prediction": settings}))
    ccep_predict.run(alone, ITEM, ATLAS)
    [statement] = summary_prediction.statements(alone, alone.index.recording(ITEM))
    assert "was not asked" in statement.text
    [sites] = summary_prediction.score_tables(alone, alone.index.recording(ITEM))
    assert not [column for column in sites.columns if column.startswith("best model")]
    assert [row[0] for row in sites.rows] == ["-".join(site) for site in SITES]
    assert all(row[3:-1] == [None, None, None] for row in sites.rows)
