"""What each trained family is: its equations, and what it keeps on linear and on nonlinear systems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from bids_ai.surrogate.families.almost_linear import PiecewiseLinear
from bids_ai.surrogate.families.cnn import Convolution
from bids_ai.surrogate.families.ei_rnn import ExcitatoryInhibitory
from bids_ai.surrogate.families.layers import Stackable
from bids_ai.surrogate.families.low_rank_rnn import LowRank
from bids_ai.surrogate.families.mlp import Perceptron
from bids_ai.surrogate.families.neural_ode import LatentFlow, runge_kutta
from bids_ai.surrogate.families.npi_cnn import NPICNN
from bids_ai.surrogate.families.npi_mlp import NPIMLP
from bids_ai.surrogate.families.npi_rnn import NPIRNN
from bids_ai.surrogate.families.residual import Correction, initialised
from bids_ai.surrogate.families.rnn import GatedRecurrence
from bids_ai.surrogate.families.transformer import CausalAttention
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from tests.surrogate.systems import coupling, linear_series, recording

N, WIDTH = 5, 8
CORRECTIONS: dict[str, Callable[[int, int, int], Correction]] = {
    "mlp": Perceptron,
    "cnn": Convolution,
    "rnn": GatedRecurrence,
    "low-rank-rnn": LowRank,
    "ei-rnn": ExcitatoryInhibitory,
    "almost-linear": PiecewiseLinear,
    "neural-ode": LatentFlow,
    "transformer": CausalAttention,
}
NPI: dict[str, Callable[[int], Stackable]] = {"npi-mlp": NPIMLP, "npi-cnn": NPICNN, "npi-rnn": NPIRNN}

corrections = pytest.mark.parametrize("name", list(CORRECTIONS))


def network(name: str, seed: int, order: int = 3) -> Stackable:
    build = (lambda: NPI[name](N)) if name in NPI else (lambda: CORRECTIONS[name](N, order, WIDTH))
    return initialised(build, seed)


def moved(name: str, seed: int, order: int = 3) -> Stackable:
    """Network away from its start, as after training."""
    out = network(name, seed, order)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in out.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return out


@corrections
@pytest.mark.parametrize("order", [1, 3])
def test_corrections_start_at_zero(name: str, order: int) -> None:
    history = torch.randn(20, order, N)
    # Excitation and inhibition cancel to the rounding of float32.
    assert network(name, 0, order)(history).abs().max() < 1e-6
    assert moved(name, 0, order)(history).abs().max() > 0.1


@pytest.mark.parametrize("name", [*CORRECTIONS, *NPI])
def test_a_stack_gives_what_its_networks_give_alone(name: str) -> None:
    networks = [moved(name, seed) for seed in range(3)]
    history = torch.randn(3, 7, 3, N)
    alone = torch.stack([one(h) for one, h in zip(networks, history, strict=True)])
    stacked, _ = torch.func.stack_module_state(list(networks))
    together = torch.func.functional_call(networks[0], stacked, (history,))
    torch.testing.assert_close(together, alone)


@corrections
def test_rescaling_multiplies_what_the_correction_gives(name: str) -> None:
    one = moved(name, 0)
    assert isinstance(one, Correction)
    history = torch.randn(7, 3, N)
    before = one(history)
    one.rescale(0.3)
    torch.testing.assert_close(one(history), 0.3 * before)


@pytest.mark.parametrize("name", ["cnn", "rnn", "ei-rnn", "transformer"])
def test_sequence_families_tell_the_order_of_the_lags(name: str) -> None:
    history = torch.randn(7, 3, N)
    one = moved(name, 0)
    swapped = history[:, [1, 0, 2]]
    assert (one(swapped) - one(history)).abs().max() > 1e-3


def test_units_obey_dales_law() -> None:
    one = moved("ei-rnn", 0)
    assert isinstance(one, ExcitatoryInhibitory)
    assert (one.excitatory_output.weight < 0).any()  # so that the magnitudes matter
    rates = torch.rand(20, WIDTH)
    for outgoing in (one.excitatory, one.inhibitory, one.excitatory_output, one.inhibitory_output):
        for unit in torch.eye(WIDTH):
            assert (outgoing(rates + unit) >= outgoing(rates)).all()
    # Without inhibition, every rate pushes every region up; without excitation, down.
    for silent, sign in ((one.inhibitory_output, 1), (one.excitatory_output, -1)):
        changed = moved("ei-rnn", 0)
        assert isinstance(changed, ExcitatoryInhibitory)
        part = changed.inhibitory_output if silent is one.inhibitory_output else changed.excitatory_output
        nn.init.zeros_(part.weight)
        out = changed(torch.randn(20, 3, N)) - changed.bias
        assert (sign * out > 0).all()


def test_low_rank_has_the_rank_it_says() -> None:
    one = initialised(lambda: LowRank(12, 1, 3), 0)
    nn.init.normal_(one.output.weight)
    jacobian = torch.func.jacrev(lambda x: one(x[None, None])[0])(torch.randn(12)).double()
    values = torch.linalg.svdvals(jacobian)
    assert values[2] > 1e-2 * values[0]
    assert values[3] < 1e-6 * values[0]


def test_piecewise_linear_is_bounded_and_linear_between_its_thresholds() -> None:
    one = moved("almost-linear", 0, order=1)
    assert isinstance(one, PiecewiseLinear)
    far = one(1e4 * torch.randn(50, 1, N)) - one.output.bias
    bound = (one.height / 2).abs() @ one.output.weight.abs()
    assert (far.abs() <= bound + 1e-2).all()  # relu(u + h/2) - relu(u - h/2) loses digits at u = 1e4
    x, step = torch.randn(200, 1, N, dtype=torch.float64), 1e-4 * torch.randn(1, 1, N, dtype=torch.float64)
    one = one.double()
    curvature = (one(x + step) - 2 * one(x) + one(x - step)).abs().amax(-1)
    # Zero but where one of the 16 thresholds lies within the step.
    assert (curvature < 1e-12).double().mean() > 0.97


def test_runge_kutta_is_of_fourth_order() -> None:
    rotation = torch.tensor([[0.0, 2.0], [-2.0, -0.3]], dtype=torch.float64)
    start = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
    exact = start @ torch.linalg.matrix_exp(rotation)
    errors = [float((runge_kutta(lambda z: z @ rotation, start, n) - exact).norm()) for n in (8, 16)]
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.1)


def test_npi_cnn_is_two_convolutions_and_a_linear_layer() -> None:
    ours = initialised(lambda: NPICNN(N), 0)
    first, second = nn.Conv1d(N, 3 * N, 2), nn.Conv1d(3 * N, N, 2)
    with torch.no_grad():
        for layer, conv in ((ours.first, first), (ours.second, second)):
            conv.weight.copy_(layer.weight.unflatten(0, (2, -1)).permute(2, 1, 0))  # (out, in, lag)
            conv.bias.copy_(layer.bias)  # type: ignore[union-attr]
        history = torch.randn(7, 3, N)
        expected = second(torch.relu(first(history.mT)))[..., 0] @ ours.output.weight + ours.output.bias
        torch.testing.assert_close(ours(history), expected)


def test_npi_rnn_reads_the_newest_lag_only() -> None:
    ours = initialised(lambda: NPIRNN(N), 0)
    history = torch.randn(7, 3, N)
    other = torch.cat([torch.randn(7, 2, N), history[:, 2:]], dim=1)
    torch.testing.assert_close(ours(other), ours(history))
    cell = nn.RNN(1, int(2.5 * N), batch_first=True)
    with torch.no_grad():
        cell.weight_hh_l0.copy_(ours.recurrent.weight.T)
        cell.bias_hh_l0.copy_(ours.recurrent.bias)
        cell.bias_ih_l0.copy_(ours.input_bias)
        state = ours.latent(torch.relu(ours.encoder(history[:, -1])))
        out, _ = cell(torch.zeros(7, 1, 1), state[None])
    torch.testing.assert_close(ours(history), ours.output(out[:, 0]))


def coupled_maps(n_times: int, seed: int) -> np.ndarray:
    """Coupled logistic maps (Kaneko 1984), x <- f(x) (1 - e) + f(neighbour) e, f(x) = 1 - 1.7 x^2."""
    state, out = np.random.default_rng(seed).uniform(-0.5, 0.5, N), []
    for _ in range(n_times + 50):
        mapped = 1 - 1.7 * state**2
        state = 0.8 * mapped + 0.2 * np.roll(mapped, 1)
        out.append(state)
    return np.array(out[50:])


@corrections
def test_kept_on_a_nonlinear_system_only(name: str) -> None:
    nonlinear = recording(coupled_maps(400, 0), name="nonlinear")
    linear = recording(linear_series(coupling(N, 0), 400, 0), name="linear")
    options = {"max_steps": 150, "batch_size": 256}  # few steps, so that they have to be good ones
    fits = fit_recordings([nonlinear, linear], model=name, ensemble=1, options=options, n_folds=4)
    assert isinstance(fits[0], FittedSurrogate)
    assert isinstance(fits[1], FittedSurrogate)
    assert (fits[0].family, fits[1].family) == (name, "ridge-var")
    heldout = fits[0].evaluation["heldout"]
    assert 1 - heldout["r2"] < 0.8 * (1 - heldout["r2_linear"])
    assert np.isfinite(fits[0].simulate(200)).all()
