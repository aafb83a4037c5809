"""A real Slurm: `make test-slurm` starts one of a single node and says so here."""

from __future__ import annotations

import os

# Part of no other test run.
collect_ignore_glob = [] if os.environ.get("BIDS_AI_TEST_SLURM") else ["test_*.py"]
