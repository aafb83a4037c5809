"""Own nipype interfaces around antspyx, nilearn, dipy and scipy.

nipype must see NO_ET before its first import (no telemetry), and ANTs its number of threads: only with one thread is it
bit-reproducible. Both are set here because this package is imported before any of its nodes.
"""

from __future__ import annotations

import os

os.environ.setdefault("NO_ET", "1")
os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
