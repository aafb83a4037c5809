"""Predictors of waveforms find what was put in, on sites that were not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from bids_ai.ccep.prediction import jansen_rit, jansen_rit_network
from bids_ai.ccep.prediction.cross import cross_predict
from bids_ai.ccep.prediction.effective_ieeg import EffectiveIeeg
from bids_ai.ccep.prediction.evoked import GRID_S, first_wave_latency
from bids_ai.ccep.prediction.evoked_kernel import EvokedKernel
from bids_ai.ccep.prediction.impulse_refined import ImpulseRefined
from bids_ai.ccep.prediction.jansen_rit import JansenRit
from bids_ai.ccep.prediction.jansen_rit_network import Network, Setting, column_response, synthesis
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.table import score_table
from bids_ai.dynamics.integrate import integrate
from bids_ai.dynamics.jansen_rit import JansenRit as Column
from tests.ccep.worlds import STEP_S, layout_of

TIMES = STEP_S * np.arange(1, 81)


def recorded_of(layout: Layout, waves: np.ndarray, rng: np.random.Generator) -> Recorded:
    """Responses with noise of a tenth of their SD; the larger half responds."""
    noisy = waves + 0.1 * waves.std() * rng.standard_normal((2, *waves.shape))
    size = np.sqrt((noisy[..., TIMES <= 0.1] ** 2).mean(axis=-1))
    size[:, layout.touches] = np.nan
    whole = size.mean(axis=0)
    responder = np.where(np.isnan(whole), np.nan, (whole > np.nanmedian(whole)).astype(float))
    return Recorded(
        layout, whole, responder, size[0], size[1], first_wave_latency(waves, TIMES),
        waveforms=noisy.mean(axis=0), waveforms_odd=noisy[0], waveforms_even=noisy[1], times_s=TIMES,
    )  # fmt: skip


def scores(recorded: Recorded, predictor: object) -> pd.DataFrame:
    predicted = cross_predict(predictor, recorded, "leave-site-out")  # type: ignore[arg-type]
    return score_table(recorded, {"model": {"leave-site-out": predicted}}, n_permutations=0, n_bootstrap=20).set_index(
        "metric"
    )


@pytest.fixture(scope="module")
def pushed() -> Recorded:
    """Contacts lie upside down or not, and so do channels: an excited channel points its own way, whatever the site."""
    rng = np.random.default_rng(1)
    layout = layout_of(rng)
    assert layout.impulses is not None
    up = rng.choice([-1.0, 1.0], len(layout.contact_positions_mm))
    impulses = np.abs(layout.impulses) * up[:, None, None] * up[:, None]
    layout = replace(layout, impulses=impulses)
    excited = impulses * up[:, None, None]
    waves = excited[layout.site_contacts].mean(axis=1)
    # The volley leaves 16 ms after the pulse, and half of it 16 ms later.
    late = np.zeros_like(waves)
    late[..., 4:] += waves[..., :-4]
    late[..., 8:] += 0.5 * waves[..., :-8]
    return recorded_of(layout, 3.0 * late, rng)


def test_refined_finds_the_sign_of_contacts_and_the_kernel(pushed: Recorded) -> None:
    found = scores(pushed, ImpulseRefined())
    assert found.of_ceiling["waveform_explained_variance"] > 0.9
    assert found.value["latency_error_s"] < 0.004
    assert found.value["spearman"] > 0.9
    assert ImpulseRefined().fit([pushed]).reach_mm_ == 0.0


def test_refined_without_responses_of_a_patient_still_has_sizes(pushed: Recorded) -> None:
    other = replace(pushed.layout, patient="02")
    made = ImpulseRefined().fit([pushed])
    assert np.isfinite(made.predict(other)[~other.touches]).all()


def test_contact_that_the_model_lacks_leaves_the_other(pushed: Recorded) -> None:
    assert pushed.layout.impulses is not None
    impulses = np.array(pushed.layout.impulses)
    first, second = pushed.layout.site_contacts[0]
    impulses[first] = np.nan
    layout = replace(pushed.layout, impulses=impulses)
    made = ImpulseRefined().fit([replace(pushed, layout=layout)])
    assert np.isfinite(made.predict(layout)[0]).all()
    assert np.isfinite(EffectiveIeeg().predict(layout)[0]).all()
    impulses[second] = np.nan
    layout = replace(pushed.layout, impulses=impulses)
    assert np.isnan(made.predict(layout)[0]).all()
    assert np.isnan(EffectiveIeeg().predict(layout)[0]).all()


@pytest.fixture(scope="module")
def travelling() -> Recorded:
    """One shape, later by 4 m/s, smaller by distance, pointing as the channel does."""
    rng = np.random.default_rng(2)
    layout = layout_of(rng, n_sites=24)
    late = 0.02 + layout.distances / 4000.0
    shape = np.exp(-0.5 * ((TIMES - late[..., None]) / 0.008) ** 2)
    shape -= 0.4 * np.exp(-0.5 * ((TIMES - late[..., None] - 0.08) / 0.03) ** 2)
    loud = np.exp(0.5 * rng.standard_normal(layout.shape[1])) * rng.choice([-1.0, 1.0], layout.shape[1])
    size = 50.0 * np.exp(-layout.distances / 40.0) * loud
    return recorded_of(layout, size[..., None] * shape, rng)


def test_kernel_finds_shape_speed_and_size(travelling: Recorded) -> None:
    found = scores(travelling, EvokedKernel())
    assert found.of_ceiling["waveform_explained_variance"] > 0.8
    # Steps of 4 ms, and the speeds that are tried.
    assert found.value["latency_error_s"] < 0.004
    assert found.value["spearman"] > 0.9
    assert 1 / EvokedKernel().fit([travelling]).delay_s_per_mm_ / 1000 == pytest.approx(4.0, abs=1.1)


def test_kernel_knows_no_sign_of_a_patient_without_responses(travelling: Recorded) -> None:
    made = EvokedKernel().fit([travelling])
    other = replace(travelling.layout, patient="02")
    assert np.isnan(made.predict_waveforms(other, TIMES)).all()
    assert np.isfinite(made.predict_latency(other)).all()


def test_linear_column_is_the_published_one() -> None:
    """Closed form against the integrated equations after a pulse that is small."""
    model = Column(C=jansen_rit_network.CONTACTS, p=jansen_rit_network.INPUT_PER_S, p_sd=0.0)
    step = 5e-4
    begin = integrate(
        model, torch.zeros(1, 1, dtype=torch.float64), n_steps=8000, generators=[torch.Generator().manual_seed(1)],
        dt=step, coupling_gain=0.0, record_every=8000,
    ).final  # fmt: skip
    drive = torch.zeros(600, 1, dtype=torch.float64)
    drive[0] = 0.1 / step
    pulsed, rest = (
        integrate(
            model, torch.zeros(1, 1, dtype=torch.float64), n_steps=600, begin=replace(begin, noise=begin.noise),
            dt=step, coupling_gain=0.0, stimulation=one,
        ).record[0, 0, :, 0]
        for one in (drive, 0.0 * drive)
    )  # fmt: skip
    change = (pulsed - rest).numpy() / 0.1
    column, _ = column_response(2j * np.pi * jansen_rit_network.FREQUENCIES_HZ)
    found = (synthesis() @ column).real
    expected = np.interp(GRID_S, step * np.arange(1, 601), change, left=0.0)
    # Frequencies end at 80 Hz.
    assert_allclose(found[3:70], expected[3:70], atol=0.03 * np.abs(expected).max())


#: A point of the grid, and one between its points.
ON_GRID, SETTING = Setting(20.0, 4.0, 1.0), Setting(30.0, 5.5, 1.2)


def network(lengths_mm: float, setting: Setting = ON_GRID) -> Recorded:
    """Sites in the first region; channels in the first three; one bundle, from the first to the second region."""
    rng = np.random.default_rng(3)
    layout = layout_of(rng, n_regions=3)
    sc = np.zeros((3, 3))
    sc[0, 1] = 1.0
    length = np.full((3, 3), np.nan)
    length[0, 1] = lengths_mm
    channels = np.eye(3)[np.arange(layout.shape[1]) % 3]
    layout = replace(
        layout,
        site_shares=np.tile([1.0, 0.0, 0.0], (layout.shape[0], 1)),
        channel_shares=channels,
        matrices={"sc": sc, "sc_length": length},
    )
    local, distant = Network(layout).parts(setting)
    assert np.abs(distant[:, 2::3]).max() < 1e-9
    assert np.abs(distant[:, 1::3]).max() > 1e-3
    waves = np.array([[np.interp(TIMES, GRID_S, wave) for wave in site] for site in local + 2.0 * distant])
    return recorded_of(layout, waves, rng)


def test_columns_on_the_connectome_have_delays_and_directions() -> None:
    latency = []
    for length in (20.0, 80.0):
        recorded = network(length)
        assert scores(recorded, JansenRit()).value["waveform_explained_variance"] > 0.8
        latency.append(JansenRit().fit([recorded]).predict_latency(recorded.layout)[0, 1])
    # 60 mm at 4 m/s, on a grid of 4 ms.
    assert latency[1] - latency[0] == pytest.approx(0.015, abs=0.004)


def test_slopes_of_the_network_are_those_of_differences() -> None:
    own = Network(network(50.0).layout)
    parts, slopes = own.parts_and_slopes(SETTING)
    assert_allclose(parts, own.parts(SETTING), atol=1e-12)
    for number, slope in enumerate(slopes):
        ends = []
        for change in (1e-4, -1e-4):
            moved = np.log(SETTING)
            moved[number] += change
            ends.append(own.parts(Setting(*np.exp(moved))))
        assert_allclose(slope, (ends[0] - ends[1]) / 2e-4, atol=1e-5 * np.abs(slope).max())


def test_the_gradient_finds_what_lies_between_the_points_of_the_grid() -> None:
    recorded = network(60.0, SETTING)
    made = JansenRit().fit([recorded])
    assert made.start_ in jansen_rit.GRID
    assert made.setting_.speed_m_per_s == pytest.approx(SETTING.speed_m_per_s, rel=0.05)
    assert made.setting_.kinetics == pytest.approx(SETTING.kinetics, rel=0.05)
    assert scores(recorded, JansenRit()).of_ceiling["waveform_explained_variance"] > 0.95
