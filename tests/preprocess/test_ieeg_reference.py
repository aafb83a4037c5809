import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess.ieeg_leads import Bipole, bipoles, leads_of, parse_contact
from bids_ai.preprocess.ieeg_reference import bipolar, common_average, quiet_channels


@pytest.mark.parametrize(
    ("name", "lead", "number"),
    [
        ("LA01", "LA", 1),
        ("RB-M1", "RB-M", 1),
        ("A'12", "A'", 12),
        ("Oc1", "Oc", 1),
        ("B2_3", "B2_", 3),
        ("T10a2", "T10a", 2),
        ("25", "", 25),
        ("LTG 7", "LTG", 7),
    ],
)
def test_lead_and_number(name, lead, number):
    contact = parse_contact(name)
    assert (contact.lead, contact.number) == (lead, number)


@pytest.mark.parametrize("name", ["MKR1+", "ECG", "", "A1x"])
def test_names_that_are_no_contacts(name):
    assert parse_contact(name) is None


def test_leads_are_in_order_of_numbers():
    leads = leads_of(["A10", "A9", "A'1", "oc2", "Oc1", "ECG", "3", "4"], {"3": "G", "4": "G"})
    assert {lead: list(contacts.values()) for lead, contacts in leads.items()} == {
        **{"a": ["A9", "A10"], "a'": ["A'1"], "oc": ["Oc1", "oc2"], "group G": ["3", "4"]}
    }
    assert leads_of(["3", "4"]) == {}


def test_bipoles_do_not_bridge_what_is_missing_or_bad():
    names = ["A1", "A2", "A3", "A5", "A6", "A7", "B1", "B2", "B3", "ECG"]
    pairs, findings = bipoles(names, bads=["A6", "B3"])
    assert [pair.name for pair in pairs] == ["A1-A2", "A2-A3", "B1-B2"]
    found = {finding.code: finding.items for finding in findings}
    assert found["gaps-on-leads"] == ("A3 to A5",)
    assert found["no-neighbour"] == ("A5", "A7", "ECG")
    assert found["no-lead"] == ("ECG",)


def test_neighbours_by_number_that_are_far_apart_are_not_paired():
    places = {"A1": np.zeros(3), "A2": np.array([0, 0, 3.5]), "A3": np.array([0, 0, 50.0])}
    pairs, findings = bipoles(["A1", "A2", "A3"], positions_mm=places)
    assert pairs == [Bipole("A1", "A2")]
    assert next(finding for finding in findings if finding.code == "far-neighbours").items == ("A2-A3",)


def test_bipolar_takes_out_what_neighbours_share_and_lies_between_them():
    rng = np.random.default_rng(0)
    shared, own = rng.standard_normal((100, 1)), rng.standard_normal((100, 3))
    derivation = bipolar(["A1", "A2", "A3"], [Bipole("A1", "A2"), Bipole("A2", "A3")])
    np.testing.assert_allclose(derivation(shared + own), own[:, :2] - own[:, 1:])
    assert derivation.names == ("A1-A2", "A2-A3")
    places = np.array([[0.0, 0, 0], [4, 0, 0], [np.nan, 0, 0]])
    np.testing.assert_array_equal(derivation.positions(places)[0], [2, 0, 0])
    assert np.isnan(derivation.positions(places)[1, 0])
    with pytest.raises(InputError, match=r"not there: \['A9'\]"):
        bipolar(["A1"], [Bipole("A1", "A9")])


def test_common_average_of_some():
    data = np.array([[1.0, 2.0, 6.0]])
    np.testing.assert_allclose(common_average(["a", "b", "c"])(data), [[-2, -1, 3]])
    derivation = common_average(["a", "b", "c"], ["a", "b"])
    np.testing.assert_allclose(derivation(data), [[-0.5, 0.5, 4.5]])
    places = np.eye(3)
    np.testing.assert_array_equal(derivation.positions(places), places)
    with pytest.raises(InputError, match="at least two of 3 channels wanted, got 1"):
        common_average(["a", "b", "c"], ["a"])


def epochs_with_responses(
    n_responding: int, seed: int, n_channels: int = 50, n_pulses: int = 10, either_sign: bool = False
) -> np.ndarray:
    """Single pulses, 10 to 300 ms at 512 Hz: noise of its own and noise that all share, and responses in some."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.01, 0.3, 1 / 512)

    def noise(n):
        spectrum = np.fft.rfft(rng.standard_normal((n_pulses, 1024, n)), axis=1)
        spectrum /= np.maximum(np.fft.rfftfreq(1024, 1 / 512), 1.0)[None, :, None] ** 0.75
        series = np.fft.irfft(spectrum, axis=1)[:, 200 : 200 + len(times)]
        return series / series.std()

    epochs = 40 * noise(n_channels) + 20 * noise(1)
    for channel in range(n_responding):
        peak = rng.uniform(0.02, 0.06)
        wave = -np.exp(-0.5 * ((times - peak) / 0.008) ** 2) + 0.6 * np.exp(-0.5 * ((times - peak - 0.1) / 0.03) ** 2)
        epochs[:, :, channel] += rng.uniform(80, 300) * wave * (rng.choice([-1, 1]) if either_sign else 1)
    return epochs


@pytest.mark.parametrize("n_responding", [0, 5, 20, 30])
def test_channels_that_respond_stay_out_of_the_average(n_responding):
    for seed in range(2):
        found = quiet_channels(epochs_with_responses(n_responding, seed), n_bootstraps=30, seed=seed)
        assert (found.members >= n_responding).all()
        # Huang et al. 2024: 2.5 channels (median) are left out by mistake.
        assert len(found.members) >= 50 - n_responding - 6


def test_responses_of_either_sign_that_cancel_do_not_look_quiet():
    for seed in (2, 3):  # the whole curve is best with 21 and 7 of the responding channels
        found = quiet_channels(epochs_with_responses(30, seed, either_sign=True), n_bootstraps=60, seed=seed)
        assert (found.members >= 30).all()
        assert len(found.members) == 20


def test_the_average_of_all_puts_responses_into_quiet_channels():
    epochs = epochs_with_responses(20, 3)
    names = [str(k) for k in range(50)]
    found = quiet_channels(epochs, n_bootstraps=30)
    mean = epochs.mean(axis=0)
    quiet = mean[:, 20:] - mean[:, 20:].mean(axis=1, keepdims=True)  # what quiet channels are without responses
    errors = [
        np.abs(common_average(names, members)(mean)[:, 20:] - quiet).max()
        for members in (None, [names[k] for k in found.members])
    ]
    assert errors[0] > 40  # microvolts
    assert errors[1] < 0.2 * errors[0]


def test_the_choice_does_not_depend_on_the_run():
    epochs = epochs_with_responses(5, 4)
    first, second = (quiet_channels(epochs, n_bootstraps=10, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.members, second.members)
    assert len(first.anticorrelation) == 49
    assert sorted(first.order) == list(range(50))


def test_epochs_that_cannot_be_used_are_refused():
    epochs = epochs_with_responses(0, 0, n_channels=4)
    epochs[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="with 1 values missing"):
        quiet_channels(epochs)
    with pytest.raises(InputError, match=r"got shape \(10, 149, 2\)"):
        quiet_channels(epochs[:, :, :2])
