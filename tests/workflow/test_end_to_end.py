"""The main job on a generated dataset, from T1w, BOLD, EEG and the DWI of one subject to the reports.

`manifest_tiny.txt` lists every file of the output. When outputs are meant to change:
python -m tests.workflow.test_end_to_end OUTPUT_DIR > tests/workflow/manifest_tiny.txt
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from scipy.stats import rankdata

from bids_ai.bids.files import read_json
from bids_ai.bids.tables import read_relmat, read_timeseries
from bids_ai.simulate.cohort import write_cohort
from tests.conftest import Answer, call_bids_ai

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MANIFEST = Path(__file__).with_name("manifest_tiny.txt")
ATLAS = "atlas-EqualVolume_scale-20"
#: Fits: four runs of BOLD, the runs of each subject together, and the EEG of each.
N_FITS, N_EEG = 8, 2


def manifest(output_dir: Path) -> list[str]:
    """Files of an output folder; the name of a run stands as RUN."""
    paths = (path.relative_to(output_dir).as_posix() for path in output_dir.rglob("*") if not path.is_dir())
    return sorted({re.sub(r"^logs/\d{8}T\d{6}-[0-9a-f]+/", "logs/RUN/", path) for path in paths})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects, the first with DWI."""
    out_dir = tmp_path_factory.mktemp("generated") / "with DWI"
    return write_cohort(out_dir, seed=1, size="tiny", modalities=("t1w", "dwi", "bold", "eeg"), ragged=True)


@pytest.fixture(scope="module")
def call(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The command."""
    folder = tmp_path_factory.mktemp("end to end")
    settings = folder / "few streamlines.yaml"
    settings.write_text("structural_connectivity:\n  streamlines: 5000\n")
    places = ["run", dataset, folder / "out", "participant", "-w", folder / "work", "--config-file", settings]
    return [*places, "--sloppy", "--atlases", "EqualVolume:20", "--nprocs", 2, "--device", "cpu"]


def state(dataset: Path) -> dict[str, tuple[int, int, str]]:
    """Everything in a dataset with its time, its rights and its content: a run must leave all of it alone."""
    return {
        str(path.relative_to(dataset)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in dataset.rglob("*")
    }


@pytest.fixture(scope="module")
def finished(call: list[object], dataset: Path) -> Answer:
    before = state(dataset)
    answer = call_bids_ai(*call, timeout=1500)
    assert answer.code == 0, answer.text
    assert state(dataset) == before
    return answer


@pytest.fixture(scope="module")
def out(finished: Answer, call: list[object]) -> Path:
    return Path(str(call[2]))


def test_every_report_is_named_at_the_end(finished, out):
    assert finished.out.splitlines() == [f"report: {out / 'sub-01.html'}", f"report: {out / 'sub-02.html'}"]
    assert "6 recording(s), 1 diffusion series, 0 failed job(s), 0 left out for a fault." in finished.err


def test_the_outputs_are_those_of_the_manifest(out):
    expected, made = MANIFEST.read_text().split("\n")[:-1], manifest(out)
    assert sorted(set(expected) - set(made)) == [], "missing"
    assert sorted(set(made) - set(expected)) == [], "not in the manifest"


def test_the_validator_finds_no_error(out):
    program = Path(sys.executable).with_name("bids-validator-deno")
    if not program.is_file():
        pytest.skip("bids-validator-deno is not installed (pip install 'bids-ai[test]')")
    done = subprocess.run([program, out, "--format", "json"], capture_output=True, text=True, timeout=120, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [(issue["code"], issue.get("subCode"), issue.get("location")) for issue in issues]
    assert [error for error, issue in zip(errors, issues, strict=True) if issue["severity"] == "error"] == []


class Links(HTMLParser):
    """Whatever a browser would follow or load."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.followed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("src", "data", "srcset", "poster"):
                self.loaded.append(value)
            elif value and name == "href":
                (self.followed if tag == "a" else self.loaded).append(value)


@pytest.mark.parametrize("page", ["sub-01.html", "sub-02.html", "group.html"])
def test_pages_need_no_network_and_no_file_that_is_not_there(out, page):
    text = (out / page).read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert [link for link in links.loaded if re.match(r"(https?:)?//", link)] == []
    outside = [link for link in links.followed if re.match(r"(https?:)?//", link)]
    assert [link for link in outside if not link.startswith("https://doi.org/")] == []
    local = [link for link in links.loaded + links.followed if not re.match(r"https?:|#|data:|mailto:", link)]
    assert [link for link in local if not (out / unquote(link.partition("#")[0])).is_file()] == []
    assert not re.search(r"url\((['\"]?)https?:", text)
    if page != "group.html":
        label = page.removesuffix(".html")
        images = [unquote(link.partition("#")[0]) for link in links.loaded]
        shown = {Path(image).name for image in images if f"{label}/figures/" in image}
        assert shown == {path.name for path in (out / label / "figures").iterdir()}


def test_figures_load_nothing(out):
    for figure in out.rglob("*.svg"):
        text = figure.read_text(encoding="utf-8")
        assert not re.search(r"(?:href|src)=[\"']https?:", text), figure.name
        assert not re.search(r"url\((['\"]?)https?:", text), figure.name


def test_effective_connectivity_is_whole_and_has_no_diagonal(out):
    matrices = sorted(out.rglob("*_stat-effectiveconnectivity*_relmat.tsv"))
    assert len(matrices) == N_FITS
    for path in matrices:
        matrix, names = read_relmat(path)
        assert len(names) == 20
        assert np.isnan(np.diag(matrix)).all()
        # Sources of EEG that cannot be told apart have no value; all others have one.
        known = np.isfinite(matrix).any(axis=0)
        assert known.sum() == 20 if path.parent.name == "func" else 8 <= known.sum() < 20
        assert np.isfinite(matrix[np.ix_(known, known)][~np.eye(known.sum(), dtype=bool)]).all()
        assert path.read_text().splitlines()[1].split("\t")[1] == "n/a"
        meta = read_json(path.with_suffix(".json"))
        assert (meta["Directed"], meta["RowRole"], meta["ColumnRole"]) == (True, "source", "target")


def test_functional_connectivity_is_that_of_the_series(out):
    tables = sorted(out.rglob("*_stat-mean_timeseries.tsv"))
    assert len(tables) == 4
    for path in tables:
        series, names = read_timeseries(path)
        assert series.shape == (60, 20)
        kept = np.isfinite(series).all(axis=1)
        assert kept.sum() > 40
        matrix, columns = read_relmat(path.with_name(path.name.replace("mean_timeseries", "pearsoncorrelation_relmat")))
        assert columns == names
        off = ~np.eye(20, dtype=bool)
        np.testing.assert_allclose(matrix[off], np.corrcoef(series[kept].T)[off], atol=1e-5)


def test_eeg_is_cleaned_and_its_regions_have_series(out):
    recordings = sorted(out.rglob("*_desc-preproc_eeg.json"))
    assert len(recordings) == N_EEG
    for path in recordings:
        meta = read_json(path)
        assert meta["EEGReference"] == "average"
        assert meta["QualityControl"]["ica"]["done"]
        [table] = path.parent.glob("*_timeseries.tsv.gz")
        series, names = read_timeseries(table)
        assert series.shape == (round(meta["RecordingDuration"] * meta["SamplingFrequency"]), 20)
        lost = read_json(table.with_name(table.name.replace(".tsv.gz", ".json")))["RegionsWithoutData"]
        assert [name for name, column in zip(names, series.T, strict=True) if np.isnan(column).all()] == lost
        alpha, columns = read_relmat(next(path.parent.glob("*_stat-imaginarycoherence_desc-alpha_relmat.tsv")))
        assert columns == names
        assert np.nanmin(alpha) >= 0


def test_every_fit_says_how_it_was_made(out):
    descriptions = [read_json(path) for path in sorted(out.rglob("*_surrogate.json"))]
    assert len(descriptions) == N_FITS
    assert {entry["Status"] for entry in descriptions} == {"fitted"}
    assert all(source.startswith("bids::sub-") for entry in descriptions for source in entry["Sources"])
    # One run, or two; and the structural connectivity, where the subject has DWI.
    assert sorted(len(entry["Sources"]) for entry in descriptions) == [1, 1, 1, 2, 2, 2, 2, 3]
    given = {entry["Sources"][0].partition("/")[0]: entry["StructuralConnectivity"] for entry in descriptions}
    assert given == {"bids::sub-01": "of the subject", "bids::sub-02": "none"}


def test_structural_connectivity_goes_with_the_truth(out, dataset):
    [path] = out.rglob("*_stat-sift2sum_relmat.tsv")
    weights, names = read_relmat(path)
    counts, _ = read_relmat(path.with_name(path.name.replace("sift2sum", "streamlinecount")))
    lengths, _ = read_relmat(path.with_name(path.name.replace("sift2sum", "meanlength")))
    upper = np.triu_indices(20, 1)
    np.testing.assert_allclose(weights, weights.T)
    assert np.isnan(np.diag(weights)).all()
    # A streamline that the images do not support may have the weight 0, and counts in no mean.
    assert (counts[upper][weights[upper] > 0] > 0).all()
    assert (np.isfinite(lengths[upper]) == (weights[upper] > 0)).all()
    [table] = dataset.glob("sourcedata/truth/sub-01/*_stat-bundle_relmat.tsv")
    truth, true_names = read_relmat(table)
    assert true_names == names  # the parcels of the truth are those of the atlas
    bundles, found = np.nan_to_num(truth[upper]), counts[upper]
    ranks = rankdata(found)
    # Chance that a pair with a bundle has more streamlines than one without (half by luck), at 6 mm voxels.
    joined = bundles > 0
    auc = (ranks[joined].mean() - (joined.sum() + 1) / 2) / (~joined).sum()
    assert auc > 0.6
    meta = read_json(path.with_suffix(".json"))
    assert (meta["Directed"], meta["Tracking"]["engine"] in ("dipy", "mrtrix3")) == (False, True)
    assert counts[upper].sum() <= meta["NumberOfStreamlines"]
    assert 4900 < meta["NumberOfStreamlines"] <= 5000


def test_sources_exist(out, dataset):
    """A BIDS URI that leads nowhere is worth nothing."""
    roots = {"": out, "raw": dataset}
    found = 0
    for path in out.rglob("*.json"):
        content = read_json(path)
        for uri in content.get("Sources", []) if isinstance(content, dict) else []:
            _, name, relative = uri.split(":", 2)
            assert (roots[name] / relative).is_file(), (path.name, uri)
            found += 1
    assert found > 50


def test_a_second_run_does_nothing(out, call):
    before = {path: path.stat().st_mtime_ns for path in out.glob("sub-*/**/*")}
    answer = call_bids_ai(*call)
    assert answer.code == 0, answer.text
    logs = sorted(out.glob("logs/*/snakemake.log"))
    assert len(logs) == 2
    assert "Nothing to be done" in logs[-1].read_text()
    assert {path: path.stat().st_mtime_ns for path in out.glob("sub-*/**/*")} == before
    assert manifest(out) == MANIFEST.read_text().split("\n")[:-1]


if __name__ == "__main__":
    print("\n".join(manifest(Path(sys.argv[1]))))
