"""What the three presets of Neural Perturbational Inference share: training as released, to compare with.

Three lags; Adam, mean squared error, batches of 50, L2 5e-5, the first 80 % of the samples in time for a fixed
number of epochs, no early stopping. The defaults are those of its simulations (80 epochs, learning rate 2e-4); its
fMRI demonstration uses 100 epochs and 1e-3. Two things differ: the series are standardised, and the initialisation
is seeded.

References
----------
Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x; ncclab-sustech/NPI (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut, SurrogateModel
from bids_ai.surrogate.families.layers import Stackable
from bids_ai.surrogate.families.residual import initialised
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.training import Trained, TrainingSettings, TrainingTask, train

ORDER = 3
TRAIN_SHARE = 0.8
DEFAULTS = {"epochs": 80, "learning_rate": 2e-4, "weight_decay": 5e-5, "batch_size": 50}

BuildNetwork = Callable[[int], Stackable]


class NPIModel(SurrogateModel):
    """A network of NPI, which takes (..., n, 3, n_regions) and is told only the number of regions; float32."""

    def __init__(self, build: BuildNetwork, n_regions: int, order: int = ORDER, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.network = build(n_regions)

    def step(self, history: Tensor) -> Tensor:
        """Next frame: (..., order, n_regions) -> (..., n_regions)."""
        out: Tensor = self.network(history)
        return out

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor, less the network."""
        return {"n_regions": self.n_regions, "order": self.order, "n_inputs": self.n_inputs}


def npi_family(name: str, build: BuildNetwork) -> Family:
    """Make a preset from its network; it is kept whatever it predicts, and judged."""
    return Family(
        name=name,
        fit=partial(_fit, build),
        build=partial(NPIModel, build),
        defaults=DEFAULTS,
        min_order=ORDER,
        fallback_to_linear=False,
        trained=True,
    )


def _fit(
    build: BuildNetwork,
    recordings: Sequence[PreparedRecording],
    linear: Sequence[FamilyFit],
    settings: FitSettings,
) -> list[FamilyFit]:
    options: dict[str, Any] = {**DEFAULTS, **settings.options}
    how = TrainingSettings(
        order=ORDER,
        batch_size=int(options["batch_size"]),
        learning_rate=options["learning_rate"],
        weight_decay=options["weight_decay"],
        decoupled=False,
    )
    n = settings.ensemble
    tasks = [
        task
        for recording in recordings
        for task in _tasks(build, recording, options, [member_seed(settings.seed, recording.name, m) for m in range(n)])
    ]
    trained = train(tasks, how, settings.device)
    return [_family_fit(build, recording, trained[i * n : (i + 1) * n]) for i, recording in enumerate(recordings)]


def _n_train(recording: PreparedRecording) -> int:
    return int(TRAIN_SHARE * recording.n_samples)


def _tasks(
    build: BuildNetwork, recording: PreparedRecording, options: dict[str, Any], seeds: Sequence[int]
) -> list[TrainingTask]:
    """One task per initialisation; they share the data."""
    n_train = _n_train(recording)
    frames = torch.as_tensor(np.nan_to_num(recording.series), dtype=torch.float32)
    goal = torch.as_tensor(recording.next_frames(), dtype=torch.float32)
    return [
        TrainingTask(
            network=initialised(partial(build, recording.n_regions), seed),
            frames=frames,
            targets=torch.as_tensor(recording.targets),
            goal=goal,
            train=torch.arange(n_train),
            validation=None,
            n_steps=int(options["epochs"]) * -(-n_train // int(options["batch_size"])),
            seed=seed,
        )
        for seed in seeds
    ]


def _family_fit(build: BuildNetwork, recording: PreparedRecording, members: list[Trained]) -> FamilyFit:
    n_train = _n_train(recording)
    models = []
    for trained in members:
        model = NPIModel(build, recording.n_regions)
        model.network.load_state_dict(trained.state)
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
