"""Anatomical preprocessing of a T1w image given by path: brain mask, fit to the template, time per step, memory.

    python benchmarks/anatomical.py --t1w T1W.nii.gz
        [--reference MASK.nii.gz | --head HEAD.nii.gz --mask MASK.nii.gz [--brain BRAIN.nii.gz]]
        [--skullstrip deformable] [--n-threads 1] [--out DIR] [--figure X.png]

The mask is scored against `--reference`, or against the mask of a whole-head template (`--head`, with its
skull-stripped T1w `--brain` on the same grid) that two registrations bring to the subject: head to head, then, inside a
generous rim of the first result, brain to brain. Neither uses the surface that is scored. Without both, no Dice is
given. Nothing is downloaded; the normalisation uses the template that nilearn bundles.
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

import bids_ai.preprocess.interfaces  # noqa: F401 - threads of ANTs, before its import
from bids_ai.preprocess import anat, normalisation, templates, volumes
from bids_ai.preprocess.brain_affine import locate_brain

#: Rim around the first warped mask within which the brains are registered, mm.
_RIM_MM = 3.0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--t1w", type=Path, required=True)
    parser.add_argument("--reference", type=Path, help="brain mask of this T1w image, any grid")
    parser.add_argument("--head", type=Path, help="whole-head template")
    parser.add_argument("--brain", type=Path, help="the same template without its head; above zero is its mask")
    parser.add_argument("--skullstrip", default="deformable")
    parser.add_argument("--resolution-mm", type=float, default=1.0, help="of the bundled template")
    parser.add_argument("--n-threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep the outputs here")
    parser.add_argument("--figure", type=Path, help="draw the contours of mask and reference")
    return parser.parse_args()


def read(path: Path) -> tuple[Any, Any]:
    image: Any = nib.as_closest_canonical(nib.load(path))  # type: ignore[arg-type]
    return np.asarray(image.dataobj, np.float32).squeeze(), np.asarray(image.affine)


def reference_mask(t1w: Path, head: Path, brain: Path, folder: Path) -> Path:
    """Bring the mask of a head template to the T1w image, on 2 mm voxels."""
    data, affine = volumes.isotropic(*read(t1w), 2.0)
    template_head, grid = read(head)
    template_brain, _ = read(brain)
    mask = volumes.closing(template_brain > 0, 4.0, float(volumes.voxel_sizes(grid)[0]))
    pose = locate_brain(data, affine, template_brain, mask, grid)
    first = normalisation.warp_mask_of_head(data, affine, template_head, mask, grid, pose) > 0.5
    generous = volumes.signed_distance(first, 2.0) < _RIM_MM
    found = normalisation.register_brain(
        np.where(generous, data, 0), affine, template_brain, mask, grid, pose, folder / "reference"
    )
    warped = normalisation.apply(mask, grid, data.shape, affine, [found.from_template]) > 0.5
    nib.save(nib.Nifti1Image(warped.astype(np.uint8), affine), folder / "reference_mask.nii.gz")
    return folder / "reference_mask.nii.gz"


def score(mask: Path, reference: Path) -> dict[str, float]:
    ours, affine = read(mask)
    other, grid = read(reference)
    brought = volumes.resample(other, grid, ours.shape, affine) > 0.5
    litre = volumes.voxel_sizes(affine).prod() / 1e6
    return {
        "dice": round(volumes.dice(ours > 0, brought), 4),
        "volume_l": round(float((ours > 0).sum() * litre), 3),
        "reference_volume_l": round(float(brought.sum() * litre), 3),
    }


def draw(t1w: Path, masks: list[Path], target: Path) -> None:
    """Six slices along each axis; the first mask in red, the second in cyan."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    data, affine = read(t1w)
    inside = [volumes.resample(*read(path), data.shape, affine) > 0.5 for path in masks]
    figure, axes = plt.subplots(3, 6, figsize=(20, 10), facecolor="black")
    for axis in range(3):
        found = np.flatnonzero(inside[0].any(axis=tuple(k for k in range(3) if k != axis)))
        places = np.linspace(*np.percentile(found, [6, 94]), 6).astype(int)
        for place, panel in zip(places, axes[axis], strict=True):
            panel.imshow(
                np.take(data, place, axis).T,
                cmap="gray",
                origin="lower",
                vmin=0,
                vmax=np.percentile(data[inside[0]], 99.5),
            )
            for mask, colour in zip(inside, ("red", "cyan"), strict=False):
                panel.contour(np.take(mask, place, axis).T, [0.5], colors=colour, linewidths=0.8)
            panel.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.01, 0.01)
    figure.savefig(target, facecolor="black", dpi=70)


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        template = templates.bundled_template(folder / "template", options.resolution_mm)
        start, used = time.perf_counter(), time.process_time()
        outputs = anat.preprocess_t1w(
            options.t1w, folder, template=template, skullstrip=options.skullstrip, n_threads=options.n_threads
        )
        result: dict[str, Any] = {
            "wall_s": round(time.perf_counter() - start, 1),
            "cpu_s": round(time.process_time() - used, 1),
            "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2, 2),
        }
        kept = ("seconds", "brain_volume_l", "tissue_volumes_l", "nmi_headers", "nmi_before", "nmi_after", "warnings")
        result |= {key: outputs.qc[key] for key in (*kept, "skullstrip_method", "mask_overlap_with_template")}
        reference = options.reference
        if reference is None and options.head and options.brain:
            reference = reference_mask(options.t1w, options.head, options.brain, folder)
        if reference is not None:
            result["mask"] = score(outputs.brain_mask, reference)
        if options.figure:
            draw(outputs.t1w_preproc, [outputs.brain_mask, *([reference] if reference else [])], options.figure)
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
