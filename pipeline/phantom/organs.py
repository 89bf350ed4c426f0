"""What is in the scan besides lungs and bones: heart, vessels, airways, abdomen, arms, table."""

import numpy as np

from lungseg.ops.hu.hounsfield import PURE_AIR_HU
from lungseg.phantom.anatomy import HEART, trunk_depth
from lungseg.phantom.shapes import Frame, cover, draw_tubes, edge, ellipsoid, join, paint
from lungseg.volume import F32, FloatArray, MaskArray

BLOOD_HU, CONTRAST_HU = 42.0, 260.0
GAS_HU = -985.0

# Each row: start x, y, z, end x, y, z, radius at start and end, mm.
GREAT_VESSELS: FloatArray = np.array(
    [
        # Aorta: root, ascending, arch, descending.
        [8, -18, -30, -16, -26, 10, 15, 15],
        [-16, -26, 10, -14, -20, 44, 15, 14],
        [-14, -20, 44, 2, 2, 60, 14, 13],
        [2, 2, 60, 20, 32, 48, 13, 12],
        [20, 32, 48, 24, 44, 10, 12, 12],
        [24, 44, 10, 20, 46, -240, 12, 10],
        # Branches of the arch.
        [-6, -12, 60, -16, -12, 140, 6, 5],
        [3, -4, 64, 16, -2, 140, 4, 4],
        [10, 8, 66, 26, 8, 140, 5, 4.5],
        # Superior vena cava and the brachiocephalic veins.
        [-24, -10, -20, -27, -16, 66, 9, 9],
        [-27, -16, 66, -30, -14, 130, 8, 6],
        [-27, -18, 62, 24, -22, 88, 7, 6],
        # Inferior vena cava.
        [-20, -2, -50, -22, 14, -240, 11, 11],
        # Pulmonary trunk and arteries.
        [22, -38, -30, 22, -18, 12, 14, 14],
        [20, -14, 10, -40, 4, 0, 10, 8.5],
        [22, -14, 10, 42, 14, 6, 10, 8.5],
    ]
)
PULMONARY_VEINS: FloatArray = np.array(
    [
        [-14, 8, -30, -46, 2, -16, 8, 6],
        [-14, 12, -34, -44, 22, -44, 8, 5],
        [30, 6, -28, 46, -2, -12, 8, 6],
        [28, 12, -34, 48, 24, -42, 8, 5],
    ]
)
TRACHEA: FloatArray = np.array([[0, 12, 260, 0, 22, 30, 8.5, 8.5]])
MAIN_BRONCHI: FloatArray = np.array(
    [[0, 22, 32, -40, 20, 6, 7, 6], [0, 22, 32, 43, 26, 0, 6.5, 5.5]]
)
LOBAR_BRONCHI: FloatArray = np.array(
    [
        [-36, 20, 8, -62, 12, 32, 4.2, 2.4],
        [-40, 20, 6, -50, 18, -30, 5, 3.6],
        [-50, 18, -30, -68, 42, -74, 3.4, 1.6],
        [-50, 18, -30, -70, -16, -50, 3, 1.6],
        [43, 26, 0, 66, 4, 22, 4.2, 2.4],
        [43, 26, 0, 58, 36, -36, 4.6, 3.2],
        [58, 36, -36, 76, 48, -80, 3, 1.5],
    ]
)
WALL_MM = 1.4
# Name, centre, radii, HU without and with contrast agent; later ones lie over earlier ones.
ABDOMEN = (
    ("liver", (-52.0, -6.0, -150.0), (92.0, 100.0, 92.0), 58.0, 108.0),
    ("liver", (20.0, -34.0, -132.0), (62.0, 58.0, 46.0), 58.0, 108.0),  # its left lobe
    ("spleen", (86.0, 40.0, -140.0), (46.0, 52.0, 58.0), 48.0, 125.0),
    ("stomach", (74.0, -20.0, -136.0), (56.0, 60.0, 52.0), 25.0, 30.0),
)


def heart_and_vessels(frame: Frame) -> F32:
    """Occupancy of the heart and the great vessels."""
    blood = np.zeros(frame.shape, np.float32)
    (centre, radii) = HEART
    join(blood, ellipsoid(frame, centre, radii, lean_xz=-0.30))
    draw_tubes(frame, blood, GREAT_VESSELS)
    draw_tubes(frame, blood, PULMONARY_VEINS)
    return blood


def central_airways(frame: Frame, wall_mm: float = 0.0) -> F32:
    """Occupancy of the lumen of trachea and main bronchi, or of it and a wall around it."""
    filled = np.zeros(frame.shape, np.float32)
    draw_tubes(frame, filled, widened(np.concatenate([TRACHEA, MAIN_BRONCHI]), wall_mm))
    return filled


def widened(tubes: FloatArray, by_mm: float) -> FloatArray:
    """The tubes with larger radii."""
    return np.asarray(tubes + np.array([0, 0, 0, 0, 0, 0, by_mm, by_mm]))


def abdomen(frame: Frame, ct: F32, inside: F32, *, contrast: bool, bowel_gas: bool) -> None:
    """Paint the organs under the diaphragm into an image of fat, inside `inside`."""
    x, y, z = frame.x, frame.y, frame.z
    below = edge(np.float32(-58.0) - z, frame.width_z)
    if not below.any():
        return
    organs = np.zeros(frame.shape, np.float32)
    hu = np.zeros(frame.shape, np.float32)
    for _, centre, radii, native, enhanced in ABDOMEN:
        part = ellipsoid(frame, centre, radii)
        join(organs, part)
        paint(hu, part, enhanced if contrast else native)
    # The domes of the diaphragm lie on the organs, so muscle fills what they leave of its shape.
    dome = np.minimum(inside, edge(np.float32(-160.0) - z + 0 * (x + y), frame.width_z))
    solid = np.minimum(inside, np.maximum(below, organs))
    cover(ct, solid, 45.0)
    cover(ct, np.minimum(organs, inside), hu)
    cover(ct, dome - np.minimum(dome, organs), -95.0)
    if bowel_gas:
        _gas(frame, ct)


def filled_organ(frame: Frame, name: str) -> MaskArray:
    """Voxels of an organ of the abdomen by name, without those that lie over it."""
    top = np.full(frame.shape, -1, np.int8)
    for k, (_, centre, radii, _, _) in enumerate(ABDOMEN):
        part = ellipsoid(frame, centre, radii)
        if part is not None:
            top[part[0]][part[1] >= 0.5] = k
    named = [k for k, row in enumerate(ABDOMEN) if row[0] == name]
    return np.asarray(np.isin(top, named))


def _gas(frame: Frame, ct: F32) -> None:
    """Paint the gas in the stomach, level on its fluid, and in the colon."""
    bubble = ellipsoid(frame, (72.0, -34.0, -134.0), (42.0, 44.0, 36.0))
    if bubble is not None:
        _, y, _ = frame.part(bubble[0])
        level = np.minimum(bubble[1], edge(np.float32(-32.0) - y, frame.width_xy))
        paint(ct, (bubble[0], level), GAS_HU)
    for centre, radii in (
        ((98.0, -30.0, -152.0), (17.0, 17.0, 26.0)),
        ((60.0, -66.0, -186.0), (24.0, 14.0, 14.0)),
        ((18.0, -72.0, -196.0), (22.0, 13.0, 13.0)),
        ((-30.0, -72.0, -200.0), (24.0, 13.0, 13.0)),
    ):
        paint(ct, ellipsoid(frame, centre, radii), GAS_HU)


def arms(frame: Frame, ct: F32) -> None:
    """Paint arms that lie beside the trunk, cut by the field of view."""
    for side in (-1.0, 1.0):
        shoulder, elbow = (side * 176.0, 6.0, 122.0), (side * 208.0, 16.0, -190.0)
        for radius, hu in ((44.0, -95.0), (36.0, 55.0), (12.0, 750.0), (7.0, 120.0)):
            filled = np.zeros(frame.shape, np.float32)
            draw_tubes(frame, filled, np.array([[*shoulder, *elbow, radius, 0.85 * radius]]))
            cover(ct, filled, hu)


def table(frame: Frame, ct: F32) -> None:
    """Paint the patient table: a thin curved shell of carbon fibre around foam."""
    x, y = frame.x, frame.y
    sag = np.float32(131.0) - x * x / np.float32(1500.0)
    depth = np.minimum(y - sag, np.float32(22.0) - (y - sag))
    depth = np.minimum(depth, np.float32(205.0) - np.abs(x))
    shell = edge(depth, frame.width_xy) + 0 * frame.z
    inner = edge(depth - np.float32(2.0), frame.width_xy) + 0 * frame.z
    outside = edge(-trunk_depth(frame.x, frame.y, frame.z), frame.width_xy)
    cover(ct, np.minimum(shell, outside), -120.0)
    cover(ct, np.minimum(inner, outside), -935.0)


def tracheostoma(frame: Frame, ct: F32) -> F32:
    """Paint a tracheostoma: the trachea opens to the outside air; return its occupancy."""
    way = np.zeros(frame.shape, np.float32)
    draw_tubes(frame, way, np.array([[0, 16, 148, 0, -100, 160, 6.5, 7.5]], float))
    cover(ct, way, PURE_AIR_HU)
    return way
