import mne
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.simulate import eeg_forward, eeg_head, eeg_montage, parcels
from bids_ai.simulate.phantom import Phantom, voxel_centres

RADII = {"WM": 50.0, "GM": 56.0, "brain": 62.0, "skin": 80.0}


@pytest.fixture(scope="module")
def ball() -> Phantom:
    """A head of concentric balls: white matter, cortex, fluid, and skin far out."""
    affine = np.diag([3.0, 3.0, 3.0, 1.0])
    affine[:3, 3] = -90.0
    radius = np.linalg.norm(voxel_centres(affine, (61, 61, 61)), axis=-1)

    def within(name: str) -> np.ndarray:
        return np.clip((RADII[name] - radius) / 3.0 + 0.5, 0.0, 1.0)

    fractions = {"WM": within("WM"), "GM": within("GM") - within("WM"), "CSF": within("brain") - within("GM")}
    fractions["brain"] = within("brain")
    t1w = np.rint(800.0 * within("skin")).astype(np.int16)
    return Phantom(affine, fractions, t1w, t1w / 800.0, voxel_centres(affine, radius.shape))


def spheres(n_vertices: int) -> eeg_head.HeadShells:
    directions = eeg_head.sphere_directions(n_vertices)
    surfaces = (directions * radius for radius in (80.0, 86.0, 92.0))
    return eeg_head.HeadShells(np.zeros(3), *surfaces, eeg_head.sphere_triangles(directions))


@pytest.fixture(scope="module")
def round_cap() -> eeg_montage.Cap:
    """40 electrodes on the upper half of the outer sphere, landmarks on its equator: CapTrak is the frame itself."""
    places = 92.0 * eeg_head.sphere_directions(80)
    marks = {"NAS": [0.0, 92.0, 0.0], "LPA": [-92.0, 0.0, 0.0], "RPA": [92.0, 0.0, 0.0]}
    upper = places[places[:, 2] > 0.0]
    names = tuple(f"E{number}" for number in range(len(upper)))
    reference = np.array([[-80.0, -30.0, -33.7], [80.0, -30.0, -33.7]])
    return eeg_montage.Cap(names, upper, reference, {name: np.array(at) for name, at in marks.items()})


def test_shells_of_a_ball(ball):
    shells = eeg_head.head_shells(ball, 162)
    for surface, expected in ((shells.inner_skull, 65.0), (shells.outer_skull, 71.0), (shells.skin, 80.0)):
        # The skin is met at a fifth of its signal, half a voxel (3 mm) before its middle.
        np.testing.assert_allclose(np.linalg.norm(surface - shells.centre_mm, axis=1), expected, atol=2.0)


def test_shells_are_nested_around_the_brain(small_head):
    shells = eeg_head.head_shells(small_head, 162)
    inner, outer, skin = (
        np.linalg.norm(surface - shells.centre_mm, axis=1)
        for surface in (shells.inner_skull, shells.outer_skull, shells.skin)
    )
    assert (outer > inner + 5.0).all()
    assert (skin > outer + 2.0).all()
    rays = (shells.inner_skull - shells.centre_mm) / inner[:, None]
    brain = np.argwhere(small_head.brain_mask) @ small_head.affine[:3, :3].T + small_head.affine[:3, 3]
    offset = brain - shells.centre_mm
    radius = np.linalg.norm(offset, axis=1)
    nearest = np.argpartition(-(offset @ rays.T), 3, axis=1)[:, :3]
    assert (radius < inner[nearest].max(axis=1)).mean() > 0.99


def test_triangles_close_the_sphere():
    directions = eeg_head.sphere_directions(50)
    triangles = eeg_head.sphere_triangles(directions)
    assert len(triangles) == 2 * 50 - 4
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    # Every edge is walked once in each direction: closed, and turned the same way everywhere.
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert {tuple(edge) for edge in edges} == {tuple(edge[::-1]) for edge in edges}
    middle = directions[triangles].mean(axis=1)
    first, second, third = (directions[triangles[:, corner]] for corner in range(3))
    assert (np.einsum("ij,ij->i", np.cross(second - first, third - first), middle) > 0).all()


def test_boundary_elements_agree_with_the_analytic_sphere(round_cap):
    rng = np.random.default_rng(0)
    positions = eeg_head.sphere_directions(40) * rng.uniform(20.0, 65.0, (40, 1))
    vectors = rng.standard_normal((40, 3))
    sheet = eeg_forward.CorticalSheet(positions, vectors, np.arange(40) % 4, np.full(4, 1.0))
    field = eeg_forward.leadfield(sheet, round_cap, spheres(250))
    model = mne.make_sphere_model(
        (0.0, 0.0, 0.0),
        0.092,
        relative_radii=(80.0 / 92.0, 86.0 / 92.0, 1.0),
        sigmas=eeg_forward.CONDUCTIVITY_S_PER_M,
        verbose="error",
    )
    info = eeg_forward.measurement_info(round_cap, with_reference=True)
    source = mne.setup_volume_source_space(
        pos={"rr": positions / 1000.0, "nn": np.tile([0.0, 0.0, 1.0], (40, 1))}, verbose="error"
    )
    trans = mne.transforms.Transform("head", "mri", np.eye(4))
    exact = mne.make_forward_solution(info, trans, source, model, meg=False, verbose="error")["sol"]["data"]
    expected = np.einsum("cdk,dk->dc", exact.reshape(-1, 40, 3), vectors) * 1e-3
    found, expected = (table - table.mean(axis=1, keepdims=True) for table in (field.dipoles, expected))
    alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(found, expected, strict=True)]
    size = np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    # Elements of 2 cm; 40 electrodes.
    assert min(alike) > 0.98
    assert np.all((size > 0.85) & (size < 1.15))
    np.testing.assert_allclose(field.regions[1], field.dipoles[1::4].sum(axis=0))
    halves = field.of_regions(np.full(40, 0.5))
    np.testing.assert_allclose(halves, 0.5 * field.regions)


def test_cortex_of_a_ball_points_outwards(ball):
    labels = np.where(voxel_centres(ball.affine, (61, 61, 61))[..., 0] < 0, 1, 2)
    shells = eeg_head.head_shells(ball, 162)
    sheet = eeg_forward.cortical_sheet(ball, labels, 3, shells, block_mm=8.0)
    outwards = sheet.positions_mm / np.linalg.norm(sheet.positions_mm, axis=1, keepdims=True)
    area = np.linalg.norm(sheet.vector_mm2, axis=1)
    large = area > np.median(area)
    cosine = np.einsum("ij,ij->i", sheet.vector_mm2, outwards) / area
    assert (cosine[large] > 0.97).all()
    # Half a shell of grey matter over the thickness of the cortex; a region without grey matter has none.
    volume = 2.0 / 3.0 * np.pi * (RADII["GM"] ** 3 - RADII["WM"] ** 3)
    np.testing.assert_allclose(sheet.region_mm2, [volume / 2.5, volume / 2.5, 0.0], rtol=0.06)
    assert area.sum() < sheet.region_mm2.sum()


def test_grey_matter_without_labels_is_refused(ball):
    with pytest.raises(InputError, match="Labelled grey matter is wanted"):
        eeg_forward.cortical_sheet(ball, np.zeros((61, 61, 61), int), 1, eeg_head.head_shells(ball, 50))


def test_dipoles_outside_are_refused(round_cap):
    sheet = eeg_forward.CorticalSheet(
        np.array([[0.0, 0.0, 40.0], [0.0, 0.0, 85.0]]), np.ones((2, 3)), np.zeros(2, int), np.ones(1)
    )
    with pytest.raises(InputError, match="within the inner skull"):
        eeg_forward.leadfield(sheet, round_cap, spheres(50))


def test_cap_sits_on_the_skin(small_head, subject_warp):
    cap = eeg_montage.fit_cap(small_head, subject_warp)
    assert len(cap.names) == len(set(cap.names)) == 64
    inverse = np.linalg.inv(small_head.affine)
    centre = small_head.affine[:3, :3] @ (np.array(small_head.t1w.shape) / 2) + small_head.affine[:3, 3]
    for step, inside in ((-9.0, True), (9.0, False)):
        away = (cap.positions_mm - centre) / np.linalg.norm(cap.positions_mm - centre, axis=1, keepdims=True)
        voxel = np.rint((cap.positions_mm + step * away) @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        bright = small_head.t1w[tuple(np.clip(voxel, 0, np.array(small_head.t1w.shape) - 1).T)] > 150
        assert (bright == inside).mean() > 0.95
    # CapTrak: ears on the x axis, nasion on y, vertex above, occiput behind.
    left, right, nasion = (cap.in_captrak(cap.landmarks_mm[name]) for name in ("LPA", "RPA", "NAS"))
    np.testing.assert_allclose([left[1:], right[1:]], 0.0, atol=1e-9)
    np.testing.assert_allclose(nasion[[0, 2]], 0.0, atol=1e-9)
    assert left[0] < 0 < right[0]
    assert nasion[1] > 0
    at = dict(zip(cap.names, cap.in_captrak(cap.positions_mm), strict=True))
    assert at["Cz"][2] == max(place[2] for place in at.values()) or at["Cz"][2] > 80
    assert at["Oz"][1] < -60 < 60 < at["Fpz"][1]
    assert at["T7"][0] < -50
    assert at["T8"][0] > 50


def test_source_estimate_finds_the_region_that_is_active(small_head, subject_warp):
    """MNE's sLORETA with our forward: estimated power is greatest in the region that was active, or beside it."""
    labels = parcels.in_phantom(parcels.template_parcels(30), small_head)
    shells = eeg_head.head_shells(small_head, 120)
    cap = eeg_montage.fit_cap(small_head, subject_warp)
    sheet = eeg_forward.cortical_sheet(small_head, labels, 30, shells, block_mm=10.0)
    field = eeg_forward.leadfield(sheet, cap, shells)
    forward = mne.pick_channels_forward(eeg_forward.forward_solution(sheet, cap, shells), list(cap.names))
    info = eeg_forward.measurement_info(cap)
    quiet = mne.EvokedArray(np.zeros((64, 1)), info, verbose="error")
    info = quiet.set_eeg_reference(projection=True, verbose="error").info
    noise = mne.make_ad_hoc_cov(info, verbose="error")
    inverse = mne.minimum_norm.make_inverse_operator(info, forward, noise, loose=1.0, depth=0.8, verbose="error")
    maps = field.regions[:, :64] - field.regions[:, :64].mean(axis=1, keepdims=True)
    evoked = mne.EvokedArray(20e-6 * (maps / np.abs(maps).max(axis=1, keepdims=True)).T, info, verbose="error")
    evoked.set_eeg_reference(projection=True, verbose="error")
    estimate = mne.minimum_norm.apply_inverse(
        evoked, inverse, method="sLORETA", pick_ori="vector", verbose="error"
    ).data
    normals = sheet.vector_mm2 / np.linalg.norm(sheet.vector_mm2, axis=1, keepdims=True)
    power = np.einsum("dkt,dk->dt", estimate, normals) ** 2
    score = np.stack([power[sheet.region == region].mean(axis=0) for region in range(30)])
    best = score.argmax(axis=0)
    apart = np.array(
        [
            np.linalg.norm(
                sheet.positions_mm[sheet.region == region][:, None] - sheet.positions_mm[sheet.region == found], axis=-1
            ).min()
            for region, found in enumerate(best)
        ]
    )
    assert (best == np.arange(30)).mean() > 0.7
    assert (apart < 15.0).mean() > 0.9
