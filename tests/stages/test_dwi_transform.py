"""The transform from diffusion images to the T1w, as other programs will use it."""

from __future__ import annotations

import numpy as np

from bids_ai.preprocess.bold_geometry import ants_image, write_itk_affine
from bids_ai.stages.dwi_preprocess import write_for_images


def test_it_brings_images_and_not_points(tmp_path):
    """Published as points are moved, it took images the wrong way."""
    import ants

    shift = np.eye(4)
    shift[0, 3] = 6.0  # three voxels of 2 mm, to the right
    blob = np.zeros((16, 16, 16), np.float32)
    blob[5, 8, 8] = 1
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    points = write_itk_affine(tmp_path / "points.txt", shift)
    published = tmp_path / "sub-01_from-dwi_to-T1w_mode-image_xfm.txt"
    write_for_images(points, published)
    image = ants_image(blob, affine)
    moved = ants.apply_transforms(image, image, [str(published)], interpolator="nearestNeighbor").numpy()
    assert [int(n) for n in np.argwhere(moved)[0]] == [8, 8, 8]
