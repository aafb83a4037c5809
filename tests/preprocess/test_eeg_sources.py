import re

import mne
import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from bids_ai.connectome.spectral import spectral_connectivity
from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_head_model, eeg_shells, eeg_sources
from bids_ai.preprocess.eeg_head_model import HeadAnatomy
from bids_ai.preprocess.eeg_positions import standard_montage
from tests.preprocess import eeg_phantom

RADII_MM = {"white": 55.0, "grey": 62.0, "brain": 66.0}
N_REGIONS = 6


@pytest.fixture(scope="module")
def ball() -> HeadAnatomy:
    """Concentric white matter, cortex and fluid; 4 mm voxels."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -80.0
    radius = np.linalg.norm(np.moveaxis(np.indices((41, 41, 41)), 0, -1) * 4.0 - 80.0, axis=-1)

    def within(name):
        return np.clip((RADII_MM[name] - radius) / 4.0 + 0.5, 0.0, 1.0)

    return HeadAnatomy(within("grey") - within("white"), within("white"), within("brain"), affine, "ball")


@pytest.fixture(scope="module")
def labels(ball):
    """Six sectors of the upper half; a seventh region below everything, which 32 electrodes hardly see."""
    x, y, z = np.moveaxis(np.indices(ball.grey.shape), 0, 0) * 4.0 - 80.0
    sector = np.floor((np.arctan2(y, x) + np.pi) / (2 * np.pi) * N_REGIONS).astype(int).clip(0, N_REGIONS - 1) + 1
    return np.where(z > 0.0, sector, 0).astype(np.int16)


@pytest.fixture(scope="module")
def model(ball, labels):
    electrodes = 82.0 * eeg_phantom.sites(eeg_phantom.NAMES)
    return eeg_head_model.head_model(
        tuple(eeg_phantom.NAMES), electrodes, ball, labels, N_REGIONS + 1, n_vertices=162, block_mm=12.0
    )


def test_shells_follow_electrodes(ball):
    electrodes = 90.0 * eeg_shells.sphere_directions(100)
    shells = eeg_head_model.head_shells(ball, electrodes, 100)
    radii = [np.linalg.norm(part - shells.centre_mm, axis=1) for part in (shells.inner_skull, shells.skin)]
    np.testing.assert_allclose(radii[0], RADII_MM["brain"] + eeg_head_model.MENINGES_MM, atol=2.5)
    # The mean thickness (skin at 82 mm) counts a little beside electrodes.
    assert 87.0 < np.median(radii[1]) <= 90.0
    without = eeg_head_model.head_shells(ball, None, 100)
    np.testing.assert_allclose(np.linalg.norm(without.skin - without.outer_skull, axis=1), eeg_head_model.SCALP_MM)


def test_cap_comes_back_onto_the_template():
    """A cap that was turned, scaled and shifted is laid back where it was; names beyond the 10-20 system go along."""
    places = standard_montage().get_positions()["ch_pos"]
    names = eeg_phantom.NAMES
    template = np.array([places[name] for name in names])
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    own = template @ turn.T * 0.9 + [0.01, 0.02, -0.03]
    info = mne.create_info(["E1", *names[1:]], 100.0, "eeg")
    montage = mne.channels.make_dig_montage(dict(zip(info.ch_names, own, strict=True)), coord_frame="head")
    info.set_montage(montage)
    moved, fit = eeg_head_model.electrodes_on_template(info)
    np.testing.assert_allclose(moved, template * 1000.0, atol=1e-3)
    assert fit.startswith("affine of 31 places")
    few = mne.pick_info(info, [0, 5, 12, 20])
    np.testing.assert_allclose(
        eeg_head_model.electrodes_on_template(few)[0], template[[0, 5, 12, 20]] * 1000.0, atol=1e-3
    )
    with pytest.raises(InputError, match="Three electrodes"):
        eeg_head_model.electrodes_on_template(mne.pick_info(info, [0, 1, 2]))


@pytest.mark.parametrize("method", ["eLORETA", "dSPM"])
@pytest.mark.parametrize("summary", ["pca_flip", "mean_flip"])
def test_active_regions_are_told_apart(model, method, summary):
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((2000, N_REGIONS))
    rows = [model.sheet.region == region for region in range(N_REGIONS)]
    fields = np.stack([np.einsum("cdk,dk->c", model.gain[:, row], model.sheet.vector_mm2[row]) for row in rows])
    data = truth @ fields
    data += 0.05 * data.std() * rng.standard_normal(data.shape)
    found = eeg_sources.region_sources(model, data, 100.0, method=method, summary=summary, keep_unresolved=True)
    table = np.corrcoef(truth.T, found.series[:, :N_REGIONS].T)[:N_REGIONS, N_REGIONS:]
    # The sign is that of current out of the cortex.
    assert (np.diag(table) > 0.8).all()
    assert (table.argmax(axis=0) == np.arange(N_REGIONS)).all()


def test_strong_lagged_coupling_shows_in_the_estimate(model):
    """Three pairs of regions share an alpha rhythm at a lag; noise is as strong as signal at the electrodes."""
    rng, rate, lag = np.random.default_rng(3), 100.0, 3
    sections = butter(3, (8.0, 13.0), "bandpass", fs=rate, output="sos")
    drive = sosfiltfilt(sections, rng.standard_normal((8000, 3)), axis=0)
    drive = np.c_[drive, np.roll(drive, lag, axis=0)] / drive.std()
    truth = drive + 0.7 * rng.standard_normal(drive.shape)
    rows = [model.sheet.region == region for region in range(N_REGIONS)]
    fields = np.stack([np.einsum("cdk,dk->c", model.gain[:, row], model.sheet.vector_mm2[row]) for row in rows])
    data = truth @ fields
    data += data.std() * rng.standard_normal(data.shape)
    found = eeg_sources.region_sources(model, data, rate, keep_unresolved=True).series[:, :N_REGIONS]
    pairs = np.triu_indices(N_REGIONS, 1)
    one, other = (spectral_connectivity(series, rate, "alpha")[pairs] for series in (found, truth))
    assert np.corrcoef(one, other)[0, 1] > 0.8


def test_what_is_not_seen_is_missing(model):
    data = 1e-5 * np.random.default_rng(1).standard_normal((500, len(model.names)))
    data[100:150] = np.nan
    found = eeg_sources.region_sources(model, data, 100.0)
    assert found.resolution.reasons[N_REGIONS] == "no grey matter in the head model"
    assert np.isnan(found.series[:, N_REGIONS]).all()
    assert np.isnan(found.series[100:150]).all()
    assert found.quality["n_resolved"] == N_REGIONS + 1 - len(found.resolution.reasons)
    assert found.quality["bad_samples"] == 50


def test_regions_under_the_same_electrodes_are_listed(ball, labels):
    """Two halves of a sector in depth: the scalp has one series for both."""
    radius = np.linalg.norm(np.moveaxis(np.indices(ball.grey.shape), 0, -1) * 4.0 - 80.0, axis=-1)
    split = np.where((labels == 1) & (radius < 58.0), N_REGIONS + 1, labels)
    electrodes = 82.0 * eeg_phantom.sites(eeg_phantom.NAMES)
    names = tuple(eeg_phantom.NAMES)
    model = eeg_head_model.head_model(
        names, electrodes, ball, split, N_REGIONS + 1, conductor="sphere", n_vertices=100, block_mm=12.0
    )
    kernel = eeg_sources.inverse_kernel(model)
    operator = eeg_sources.region_operator(model, kernel, np.eye(len(names)), "mean_flip")
    resolution = eeg_sources.resolve(model, operator)
    assert {0, N_REGIONS} & set(resolution.reasons)
    assert not {2, 3, 4} & set(resolution.reasons)
    assert resolution.overlap[0, N_REGIONS] > 0.8
    # Said of the other half by its label or its name, as the keys of the record are.
    data = 1e-5 * np.random.default_rng(1).standard_normal((500, len(names)))
    regions = [f"R{letter}" for letter in "abcdefg"]
    labelled, named = (
        eeg_sources.region_sources(model, data, 100.0, regions=given).quality["unresolved"] for given in (None, regions)
    )
    assert labelled.keys() & {"region 1", "region 7"}
    assert named == {
        regions[int(key.split()[1]) - 1]: re.sub(r"region (\d)", lambda hit: regions[int(hit[1]) - 1], why)
        for key, why in labelled.items()
    }
    one, other = ("region 1", "region 7") if "region 1" in labelled else ("region 7", "region 1")
    assert other in labelled[one]
    with pytest.raises(InputError, match="7 different names"):
        eeg_sources.region_sources(model, data, 100.0, regions=["Ra"] * 7)
    np.testing.assert_allclose(np.diag(resolution.crosstalk), 1.0)
    assert ((resolution.own_share > 0.0) & (resolution.own_share <= 1.0)).all()


def test_sphere_and_boundary_elements_agree(ball, labels, model):
    sphere = eeg_head_model.head_model(
        model.names, model.electrodes_mm, ball, labels, N_REGIONS + 1, conductor="sphere", n_vertices=162, block_mm=12.0
    )
    one, other = (part.gain.reshape(len(model.names), -1) for part in (model, sphere))
    alike = [np.corrcoef(one[:, column], other[:, column])[0, 1] for column in range(one.shape[1])]
    # The ball is a sphere, but for the voxels of its surface and the shells' own thicknesses.
    assert np.median(alike) > 0.95


def test_what_cannot_be_is_refused(model, ball, labels):
    data = np.zeros((10, len(model.names)))
    with pytest.raises(InputError, match="'eLORETA', 'dSPM'"):
        eeg_sources.region_sources(model, data, 100.0, method="beamformer")
    with pytest.raises(InputError, match="'pca_flip' or"):
        eeg_sources.region_sources(model, data, 100.0, summary="max")
    with pytest.raises(InputError, match="Two good samples or more are wanted"):
        eeg_sources.region_sources(model, data * np.nan, 100.0)
    with pytest.raises(InputError, match="'bem' or 'sphere'"):
        eeg_head_model.head_model(model.names, model.electrodes_mm, ball, labels, 6, conductor="cube")
    raw, _, _ = eeg_phantom.recording(["Cz", "Pz"], seconds=2.0)
    with pytest.raises(InputError, match="Three good EEG channels"):
        eeg_sources.eeg_sources(raw, labels, ball.affine, 6)
    with pytest.raises(InputError, match="electrodes_mm"):
        eeg_sources.eeg_sources(raw, labels, ball.affine, 6, anatomy=ball)


def test_series_of_a_recording_in_its_own_anatomy(ball, labels):
    raw, _, _ = eeg_phantom.recording(seconds=6.0, rate=400.0, with_blinks=False)
    raw.set_annotations(mne.Annotations([2.0], [0.5], ["BAD_test"]))
    raw.info["bads"] = ["C3"]
    found = eeg_sources.eeg_sources(
        raw,
        labels,
        ball.affine,
        N_REGIONS,
        anatomy=ball,
        electrodes_mm=82.0 * eeg_phantom.sites(eeg_phantom.NAMES),
        conductor="sphere",
    )
    assert found.series.shape == (1500, N_REGIONS)
    assert found.sampling_hz == 250.0
    assert "C3" not in found.names
    bad = np.isnan(found.series).all(axis=1)
    # 2.0 to 2.5 s at 250 Hz; samples at the borders stand for bad ones too.
    assert bad[500:625].all()
    assert bad.sum() <= 127
