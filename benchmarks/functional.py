"""Functional preprocessing on a run given by paths: time per step, memory, and the figures of quality.

The anatomical files are those that the anatomical stage writes (or any others on one grid). Nothing is downloaded.

    python benchmarks/functional.py --bold BOLD.nii.gz --tr 2 --t1w-brain B --t1w-mask M --t1w-dseg D \
        --t1w-to-template X.h5 --template T --template-mask TM [--repeat 8] [--n-threads 2] [--out DIR]
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    paths = ("bold", "t1w-brain", "t1w-mask", "t1w-dseg", "t1w-to-template", "template", "template-mask")
    for name in paths:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--tr", type=float, required=True, help="seconds")
    parser.add_argument("--space", default="template")
    parser.add_argument("--resolution-mm", type=float)
    parser.add_argument("--n-threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=1, help="the run end to end N times: memory of a long run")
    parser.add_argument("--out", type=Path, help="keep the outputs here")
    return parser.parse_args()


def lengthen(path: Path, times: int, folder: Path) -> Path:
    """The run, there and back again: no jump at the seams."""
    if times == 1:
        return path
    image: Any = nib.load(path)
    data = np.asarray(image.dataobj.get_unscaled())
    whole = np.concatenate([data if n % 2 == 0 else data[..., ::-1] for n in range(times)], axis=3)
    longer = nib.Nifti1Image(whole, image.affine, image.header)
    longer.header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
    nib.save(longer, folder / "long_bold.nii.gz")
    return folder / "long_bold.nii.gz"


def raw_tsnr(bold: Path, mask: Path) -> float:
    """Median over the mask of mean/SD of the run as it came."""
    data: Any = nib.load(bold)
    inside = np.asarray(nib.load(mask).dataobj) > 0  # type: ignore[attr-defined]
    total, squares, n_times = 0.0, 0.0, data.shape[3]
    for frame in range(n_times):
        values = np.asarray(data.dataobj[..., frame], float)[inside]
        total, squares = total + values, squares + values**2
    mean = total / n_times
    deviation = np.sqrt(np.maximum(squares / n_times - mean**2, 0))
    return float(np.median(mean[deviation > 0] / deviation[deviation > 0]))


def main() -> None:
    arguments = parse()
    from bids_ai.preprocess.func import BoldInputs, preprocess_bold

    with tempfile.TemporaryDirectory() as scratch:
        bold = lengthen(arguments.bold, arguments.repeat, Path(scratch))
        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        inputs = BoldInputs(
            bold=bold,
            tr=arguments.tr,
            slice_timing=None,
            slice_encoding=None,
            t1w_brain=arguments.t1w_brain,
            t1w_mask=arguments.t1w_mask,
            t1w_dseg=arguments.t1w_dseg,
            t1w_to_template=arguments.t1w_to_template,
            template_t1w=arguments.template,
            template_mask=arguments.template_mask,
            template_space=arguments.space,
        )
        started = time.perf_counter()
        outputs = preprocess_bold(
            inputs,
            arguments.out or Path(scratch) / "work",
            resolution_mm=arguments.resolution_mm,
            n_threads=arguments.n_threads,
        )
        wall = time.perf_counter() - started
        figures = {key: value for key, value in outputs.qc.items() if key not in ("method", "versions")}
        figures["tsnr_median_raw"] = raw_tsnr(arguments.bold, outputs.brain_mask)
        figures["wall_seconds"] = round(wall, 1)
        figures["memory_before_mb"] = round(held, 1)
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
