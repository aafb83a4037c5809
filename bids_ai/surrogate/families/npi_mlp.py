"""The perceptron of Neural Perturbational Inference, as released, to compare with.

Three lags, Linear(3N, 2N) ReLU Linear(0.8N) ReLU Linear(N); Adam, mean squared error, batches of 50, L2 5e-5,
the first 80 % of the samples in time for a fixed number of epochs, no early stopping. The defaults are those
of its simulations (80 epochs, learning rate 2e-4); its fMRI demonstration uses 100 epochs and 1e-3. Two
things differ: the series are standardised, and the initialisation is seeded.

References
----------
Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x; ncclab-sustech/NPI (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut, SurrogateModel
from bids_ai.surrogate.families.mlp import initialised
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.training import Trained, TrainingSettings, TrainingTask, train

ORDER = 3
TRAIN_SHARE = 0.8
DEFAULTS = {"epochs": 80, "learning_rate": 2e-4, "weight_decay": 5e-5, "batch_size": 50}


class NPIMLP(SurrogateModel):
    """NPI's perceptron, float32.

    | layer | shape |
    |---|---|
    | 1 | (3 * n_regions, 2 * n_regions), ReLU |
    | 2 | (2 * n_regions, 0.8 * n_regions), ReLU |
    | 3 | (0.8 * n_regions, n_regions) |
    """

    def __init__(self, n_regions: int, order: int = ORDER, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        wide, narrow = 2 * n_regions, int(0.8 * n_regions)
        self.layers = nn.Sequential(
            nn.Linear(order * n_regions, wide),
            nn.ReLU(),
            nn.Linear(wide, narrow),
            nn.ReLU(),
            nn.Linear(narrow, n_regions),
        )

    def step(self, history: Tensor) -> Tensor:
        """Next frame: (..., order, n_regions) -> (..., n_regions)."""
        out: Tensor = self.layers(history.flatten(-2))
        return out

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"n_regions": self.n_regions, "order": self.order, "n_inputs": self.n_inputs}


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    options: dict[str, Any] = {**DEFAULTS, **settings.options}
    how = TrainingSettings(
        order=ORDER,
        batch_size=int(options["batch_size"]),
        learning_rate=options["learning_rate"],
        weight_decay=options["weight_decay"],
        decoupled=False,
    )
    tasks = [
        _task(recording, member, options, settings) for recording in recordings for member in range(settings.ensemble)
    ]
    trained = train(tasks, how, settings.device)
    n = settings.ensemble
    return [_family_fit(recording, trained[i * n : (i + 1) * n]) for i, recording in enumerate(recordings)]


def _n_train(recording: PreparedRecording) -> int:
    return int(TRAIN_SHARE * recording.n_samples)


def _task(recording: PreparedRecording, member: int, options: dict[str, Any], settings: FitSettings) -> TrainingTask:
    seed = member_seed(settings.seed, recording.name, member)
    n_train = _n_train(recording)
    return TrainingTask(
        network=initialised(lambda: NPIMLP(recording.n_regions), seed),
        frames=torch.as_tensor(np.nan_to_num(recording.series), dtype=torch.float32),
        targets=torch.as_tensor(recording.targets),
        goal=torch.as_tensor(recording.next_frames(), dtype=torch.float32),
        train=torch.arange(n_train),
        validation=None,
        n_steps=int(options["epochs"]) * -(-n_train // int(options["batch_size"])),
        seed=seed,
    )


def _family_fit(recording: PreparedRecording, members: list[Trained]) -> FamilyFit:
    n_train = _n_train(recording)
    models = []
    for trained in members:
        model = NPIMLP(recording.n_regions)
        model.load_state_dict(trained.state)
        models.append(model.eval())
    history = torch.as_tensor(recording.histories(ORDER), dtype=torch.float32)
    with torch.no_grad():
        prediction = torch.stack([model.predict(history) for model in models]).mean(0).double().numpy()
    error = (recording.next_frames()[:n_train] - prediction[:n_train]) ** 2
    return FamilyFit(
        models=tuple(models),
        order=ORDER,
        penalty=None,
        selection=[],
        heldout=HeldOut(np.arange(n_train, recording.n_samples), prediction[n_train:]),
        train_mse=float(error.mean()),
        details={"n_steps": members[0].step},
    )


FAMILY = Family(name="npi-mlp", fit=_fit, build=NPIMLP, defaults=DEFAULTS, min_order=ORDER, fallback_to_linear=False)
