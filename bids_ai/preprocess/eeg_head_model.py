"""A head for source estimates that needs no download: the bundled MNI152 brain, or the subject's own tissue maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_shells
from bids_ai.preprocess.eeg_cortex import BLOCK_MM, CorticalSheet, cortical_sheet
from bids_ai.preprocess.eeg_positions import has_position, site_of_name, standard_montage
from bids_ai.preprocess.eeg_shells import HeadShells

Array = NDArray[np.floating]
Conductor = Literal["bem", "sphere"]

#: From the hull of the brain to the inner skull, through the skull, and through the scalp where nothing says how far
#: the skin is, mm: fluid and dura, adult parietal bone, scalp (Haeussinger et al. 2011,
#: doi:10.1371/journal.pone.0026377).
MENINGES_MM, SKULL_MM, SCALP_MM = 3.0, 6.5, 6.5
_LEAST_SCALP_MM, _MOST_SCALP_MM = 2.5, 25.0
#: The skin is as smooth as this between electrodes, degrees seen from the centre.
_SKIN_DEG = 12.0
#: Vertices of each surface: an icosahedron divided three times has as many.
N_VERTICES = 642
#: Common places from which an affine is fitted; with fewer a similarity (turn, shift, one scale); with fewer nothing.
LEAST_AFFINE, LEAST_SIMILARITY = 12, 3
#: Inner skull and outer skull of the sphere relative to the skin: the radii of MNE's three-shell model.
_SPHERE_RADII = (0.90, 0.97, 1.0)


@dataclass(frozen=True)
class HeadAnatomy:
    """Tissues on a grid, in the space in which regions are labelled.

    Attributes
    ----------
    grey, white : arrays, shape (nx, ny, nz)
        Share of the tissues, 0 to 1.
    brain : array, shape (nx, ny, nz)
        Share of the brain with its fluid.
    affine : array, shape (4, 4)
        Voxel to mm RAS, isotropic.
    origin : str
        What the record says of it.
    """

    grey: Array
    white: Array
    brain: Array
    affine: Array
    origin: str


@dataclass(frozen=True)
class HeadModel:
    """Conductor, electrodes and dipoles of one recording, in mm RAS of the anatomy.

    Attributes
    ----------
    names : tuple of str
        Channels.
    electrodes_mm : array, shape (n_channels, 3)
    sheet : CorticalSheet
        Dipoles; their regions are rows of the labels 1..n_regions.
    forward : mne.Forward
        Free orientation, in the frame of the anatomy.
    info : mne.Info
        Of the channels, at these places.
    gain : array, shape (n_channels, n_dipoles, 3)
        Volts per Am, average reference, RAS.
    fit : str
        How electrodes came onto the head, and how far they were from it.
    """

    names: tuple[str, ...]
    electrodes_mm: Array
    sheet: CorticalSheet
    forward: Any
    info: Any
    gain: Array
    fit: str

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.sheet.region_mm2)


def template_anatomy(voxel_mm: int = 2) -> HeadAnatomy:
    """The MNI152NLin2009aSym brain bundled with nilearn.

    Parameters
    ----------
    voxel_mm : {1, 2}
    """
    from nilearn import datasets, image

    maps = [
        load(resolution=1)
        for load in (
            datasets.load_mni152_gm_template,
            datasets.load_mni152_wm_template,
            datasets.load_mni152_brain_mask,
        )
    ]
    affine = np.asarray(maps[0].affine, float)
    arrays = [
        np.asarray(image.resample_to_img(one, maps[0], force_resample=True, copy_header=True).dataobj, np.float32)
        for one in maps
    ]
    if voxel_mm > 1:
        arrays = [_halved(one, voxel_mm) for one in arrays]
        affine = affine @ np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
        affine[:3, 3] += (voxel_mm - 1.0) / 2.0
    grey, white, brain = arrays
    return HeadAnatomy(grey, white, brain, affine, "template MNI152NLin2009aSym")


def _halved(volume: Array, factor: int) -> Array:
    """Means over blocks of voxels."""
    cut = volume[tuple(slice(0, n // factor * factor) for n in volume.shape)]
    shape = [size for n in cut.shape for size in (n // factor, factor)]
    mean: Array = cut.reshape(shape).mean(axis=(1, 3, 5))
    return mean


def labels_on(anatomy: HeadAnatomy, labels: NDArray[np.integer], affine: Array) -> NDArray[np.integer]:
    """Labels of another grid of the same space at the voxels of an anatomy: those of the nearest voxel.

    Parameters
    ----------
    anatomy : HeadAnatomy
    labels : array of int, shape (mx, my, mz)
    affine : array, shape (4, 4)

    Returns
    -------
    array of int, shape of the anatomy
        0 outside.
    """
    index = np.indices(anatomy.grey.shape).reshape(3, -1).T
    points = index @ anatomy.affine[:3, :3].T + anatomy.affine[:3, 3]
    inverse = np.linalg.inv(affine)
    voxel = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.intp)
    within = ((voxel >= 0) & (voxel < labels.shape)).all(axis=1)
    found = np.zeros(len(voxel), labels.dtype)
    found[within] = labels[tuple(voxel[within].T)]
    return found.reshape(anatomy.grey.shape)


def head_shells(anatomy: HeadAnatomy, skin_points_mm: Array | None = None, n_vertices: int = N_VERTICES) -> HeadShells:
    """Inner skull, outer skull and skin around a brain.

    Parameters
    ----------
    anatomy : HeadAnatomy
    skin_points_mm : array, shape (n, 3), optional
        Places on the skin, such as electrodes: the skin goes through them where they are. Elsewhere, and without them,
        the scalp has its mean thickness.
    n_vertices : int

    Returns
    -------
    HeadShells

    Raises
    ------
    InputError
        When there is no brain in the anatomy.
    """
    mask = np.argwhere(anatomy.brain > 0.5)
    if not len(mask):
        raise InputError("A brain is wanted for the shells of the head; no voxel of the anatomy is brain.")
    points = mask @ anatomy.affine[:3, :3].T + anatomy.affine[:3, 3]
    centre = (points.min(axis=0) + points.max(axis=0)) / 2.0
    directions = eeg_shells.sphere_directions(n_vertices)
    brain = eeg_shells.outermost(anatomy.brain, anatomy.affine, centre, directions, 0.5)
    inner = np.maximum(eeg_shells.hull(brain, directions), brain) + MENINGES_MM
    outer = inner + SKULL_MM
    scalp = np.full(n_vertices, SCALP_MM)
    if skin_points_mm is not None and len(skin_points_mm):
        scalp = _scalp(np.asarray(skin_points_mm, float) - centre, outer, directions)
    return eeg_shells.shells_of_radii(centre, directions, inner, outer, outer + scalp)


def _scalp(rays: Array, outer: Array, directions: Array) -> Array:
    """Thickness of the scalp from points on it, drawn towards the mean where there are none; shape (n_vertices,)."""
    radius = np.linalg.norm(rays, axis=1)
    cosine = np.clip(directions @ (rays / radius[:, None]).T, -1.0, 1.0)
    beneath = outer[cosine.argmax(axis=0)]
    weight = np.exp(-0.5 * (np.arccos(cosine) / np.deg2rad(_SKIN_DEG)) ** 2)
    # The mean thickness counts as much as one electrode a SD away.
    prior = np.exp(-0.5)
    thickness = (weight @ (radius - beneath) + prior * SCALP_MM) / (weight.sum(axis=1) + prior)
    return np.clip(thickness, _LEAST_SCALP_MM, _MOST_SCALP_MM)


def electrodes_on_template(info: Any) -> tuple[Array, str]:
    """Electrodes in MNI space, mm.

    Electrodes with a name of the 10-20 system are laid onto those of the standard montage by an affine; where there
    are fewer than 12, they and the landmarks by a similarity. All others go along.

    Parameters
    ----------
    info : mne.Info
        EEG channels with positions.

    Returns
    -------
    positions_mm : array, shape (n_channels, 3)
    fit : str

    Raises
    ------
    InputError
        When a channel has no position, or fewer than three places are known on both heads.
    """
    placed = has_position(info)
    if not placed.all():
        names = [name for name, there in zip(info["ch_names"], placed, strict=True) if not there]
        raise InputError(f"Electrode positions are wanted for sources; {', '.join(names[:10])} have none. Drop them.")
    own = np.array([channel["loc"][:3] for channel in info["chs"]]) * 1000.0
    template = standard_montage().get_positions()
    at = {name.lower(): place * 1000.0 for name, place in template["ch_pos"].items()}
    pairs = [
        (own[row], at[site_of_name(name)]) for row, name in enumerate(info["ch_names"]) if site_of_name(name) in at
    ]
    if len(pairs) < LEAST_AFFINE:
        pairs += [(place, template[name] * 1000.0) for name, place in _landmarks(info).items()]
    if len(pairs) < LEAST_SIMILARITY:
        raise InputError(
            f"Three electrodes of the 10-20 system, or landmarks, are wanted to lay a cap onto the template; "
            f"{len(pairs)} were found. Add landmarks to the coordsystem, or names of the 10-20 system."
        )
    source, target = (np.array(side) for side in zip(*pairs, strict=True))
    spread = np.linalg.matrix_rank(source - source.mean(axis=0), tol=5.0)
    affine = len(pairs) >= LEAST_AFFINE and spread == 3
    matrix = _affine(source, target) if affine else _similarity(source, target)
    moved = own @ matrix[:3, :3].T + matrix[:3, 3]
    left = np.linalg.norm(source @ matrix[:3, :3].T + matrix[:3, 3] - target, axis=1)
    return (
        moved,
        f"{'affine' if affine else 'similarity'} of {len(pairs)} places, {np.sqrt((left**2).mean()):.1f} mm RMS",
    )


def _landmarks(info: Any) -> dict[str, Array]:
    """Landmarks in mm; none where they are those that MNE makes up for a montage without."""
    marks = {1: "lpa", 2: "nasion", 3: "rpa"}  # FIFF's numbers of the cardinal points
    found: dict[str, Array] = {
        marks[int(point["ident"])]: np.asarray(point["r"], float) * 1000.0
        for point in info["dig"] or []
        if int(point["kind"]) == 1 and int(point["ident"]) in marks
    }
    # Made up: all three at the same distance from the origin, on the axes.
    if len(found) == 3 and np.ptp([np.linalg.norm(place) for place in found.values()]) < 1e-3:
        return {}
    return found


def _affine(source: Array, target: Array) -> Array:
    solved = np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]
    return np.r_[solved.T, [[0.0, 0.0, 0.0, 1.0]]]


def _similarity(source: Array, target: Array) -> Array:
    """Turn, scale and shift (Umeyama 1991, doi:10.1109/34.88573)."""
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    u, s, vt = np.linalg.svd((target - goal).T @ (source - middle))
    sign = np.diag([1.0, 1.0, np.linalg.det(u @ vt)])
    turn = u @ sign @ vt
    scale = float(np.trace(np.diag(s) @ sign)) / float(((source - middle) ** 2).sum())
    matrix = np.eye(4)
    matrix[:3, :3] = scale * turn
    matrix[:3, 3] = goal - matrix[:3, :3] @ middle
    return matrix


def head_model(
    names: tuple[str, ...],
    electrodes_mm: Array,
    anatomy: HeadAnatomy,
    labels: NDArray[np.integer],
    n_regions: int,
    *,
    conductor: Conductor = "bem",
    n_vertices: int = N_VERTICES,
    block_mm: float = BLOCK_MM,
    fit: str = "given in the space of the anatomy",
) -> HeadModel:
    """Leadfield of the labelled grey matter.

    Parameters
    ----------
    names : tuple of str
        Channels.
    electrodes_mm : array, shape (n_channels, 3)
        mm RAS of the anatomy (`electrodes_on_template`).
    anatomy : HeadAnatomy
    labels : array of int, shape of the anatomy
        1..n_regions, 0 outside (`labels_on`).
    n_regions : int
    conductor : {"bem", "sphere"}
        Three shells by boundary elements, or concentric spheres through the electrodes (Berg & Scherg 1994), which
        take a second.
    n_vertices : int
        Of each shell.
    block_mm : float
        Dipoles of one region in a block of this edge are one.
    fit : str
        Said of the electrodes.

    Returns
    -------
    HeadModel

    Raises
    ------
    InputError
        For another conductor, fewer than three channels, or grey matter without labels.
    """
    if conductor not in ("bem", "sphere"):
        raise InputError(f"Conductor of the head: 'bem' or 'sphere' is wanted, got {conductor!r}.")
    if len(names) < 3 or electrodes_mm.shape != (len(names), 3):
        raise InputError(
            f"Sources want three channels or more with places (n_channels, 3), got {len(names)} and "
            f"{electrodes_mm.shape}."
        )
    import mne

    shells = head_shells(anatomy, electrodes_mm, n_vertices)
    sheet = cortical_sheet(anatomy.grey, anatomy.white, anatomy.affine, labels, n_regions, shells, block_mm)
    info = mne.create_info(list(names), 250.0, "eeg", verbose="error")
    # The frame of the anatomy stands for MNE's head and MRI frames, its centre for their origin.
    places = (electrodes_mm - shells.centre_mm) / 1000.0
    montage = mne.channels.make_dig_montage(dict(zip(names, places, strict=True)), coord_frame="head")
    info.set_montage(montage, verbose="error")
    space = {"rr": (sheet.positions_mm - shells.centre_mm) / 1000.0, "nn": _unit(sheet.vector_mm2)}
    source = mne.setup_volume_source_space(pos=space, verbose="error")
    inner, outer, skin = (part - shells.centre_mm for part in (shells.inner_skull, shells.outer_skull, shells.skin))
    moved = HeadShells(np.zeros(3), inner, outer, skin, shells.triangles)
    conducts = eeg_shells.conductor(moved) if conductor == "bem" else _sphere(places)
    forward = mne.make_forward_solution(
        info,
        mne.transforms.Transform("head", "mri", np.eye(4)),
        source,
        conducts,
        meg=False,
        eeg=True,
        mindist=0.0,
        n_jobs=1,
        verbose="error",
    )
    kept = forward["src"][0]["vertno"]
    if len(kept) < len(sheet.region):
        sheet = CorticalSheet(sheet.positions_mm[kept], sheet.vector_mm2[kept], sheet.region[kept], sheet.region_mm2)
    gain = forward["sol"]["data"].reshape(len(names), -1, 3)
    gain = gain - gain.mean(axis=0)
    return HeadModel(names, electrodes_mm, sheet, forward, info, gain, fit)


def _unit(vectors: Array) -> Array:
    filled = np.where(np.abs(vectors).sum(axis=1, keepdims=True) > 0.0, vectors, [0.0, 0.0, 1.0])
    unit: Array = filled / np.linalg.norm(filled, axis=1, keepdims=True)
    return unit


def _sphere(places_m: Array) -> Any:
    """Three concentric spheres, the outermost nearest to the electrodes."""
    import mne

    system = np.c_[2.0 * places_m, np.ones(len(places_m))]
    solved = np.linalg.lstsq(system, (places_m**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(solved[3] + solved[:3] @ solved[:3]))
    return mne.make_sphere_model(
        solved[:3], radius, relative_radii=_SPHERE_RADII, sigmas=eeg_shells.CONDUCTIVITY_S_PER_M, verbose="error"
    )
