"""``python -m bids_ai``."""

from bids_ai.cli.main import main

raise SystemExit(main())
