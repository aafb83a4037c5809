"""What may go wrong with the recordings of a batch, and what is said of it."""

from __future__ import annotations

import numpy as np
import torch

from bids_ai.errors import InputError

NUMERICAL_FAULTS = (InputError, ArithmeticError, np.linalg.LinAlgError, torch.linalg.LinAlgError)
"""What may go wrong with the numbers of one recording without being a defect of the program."""

BATCH_FAULTS = (*NUMERICAL_FAULTS, torch.cuda.OutOfMemoryError)
"""What a smaller batch may be spared: the fault of another recording, and the memory of a GPU that others fill too."""


def reason(error: Exception) -> str:
    """Say why a recording could not be fitted."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has too little free memory for this recording: free it, or fit with --device cpu."
    return str(error)
