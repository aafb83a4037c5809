"""Recorded trials of which the authors say whether there is a response; needs BIDS_AI_TEST_DATA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from bids_ai.ccep.epochs import prepared
from bids_ai.ccep.features.crp import parameterise
from bids_ai.ccep.responders import PseudoOnsetNull
from bids_ai.ccep.scan import make_scan
from bids_ai.ccep.trials import Trials

pytestmark = pytest.mark.real
HZ = 2048.0
STATED = {
    "Fig1_sampledata": True,
    "Fig2_sampledata": True,
    "Fig4_sampledata": True,
    "Fig5_sampledata_1": True,
    "Fig5_sampledata_5": False,
    "Fig6_b_insignificant_example": False,
}


@pytest.fixture(scope="module")
def folder(test_data: Path) -> Path:
    if not (test_data / "ccep-crp").is_dir():
        pytest.skip("BIDS_AI_TEST_DATA has no ccep-crp: no recorded trials")
    return test_data / "ccep-crp"


def recorded(path: Path) -> tuple[np.ndarray, int]:
    """Trials in volts, three seconds around the pulse, and the sample of the pulse."""
    content = loadmat(path)
    return 1e-6 * content["data"].T.astype(float), int(np.abs(content["t"].ravel()).argmin())


def trials_of(data: np.ndarray, onset: int) -> Trials:
    around = np.arange(-2048, 2049)
    epochs = [prepared(one[None, onset + around], around / HZ, (-0.002, 0.009)) for one in data]
    return Trials(np.stack(epochs), around / HZ, np.ones(len(data), int))


@pytest.mark.parametrize(("name", "stated"), STATED.items(), ids=list(STATED))
def test_stated_responses(folder: Path, name: str, stated: bool) -> None:
    data, onset = recorded(folder / f"{name}.mat")
    scan = make_scan(HZ)
    starts = np.arange(-scan.first, onset - scan.last - 20, 205)
    pool = np.stack([scan.apply(one[None], int(start)) for one in data for start in starts])
    tested = PseudoOnsetNull(pool, scan, n_draws=1000, seed=1).test(trials_of(data, onset))
    if stated:
        assert tested.p[0] < 1e-3
        assert abs(tested.z[0]) > 3
    else:
        assert tested.p[0] > 0.05


def test_artificial_box_has_its_duration(folder: Path) -> None:
    # 100 uV for 100 ms from the start of the search on.
    data, onset = recorded(folder / "Fig7_artificial_box.mat")
    found = parameterise(trials_of(data, onset))
    assert found.alpha_rms.mean() == pytest.approx(100, rel=0.05)
    assert found.explained.min() > 0.99
