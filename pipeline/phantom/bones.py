"""The skeleton of a chest: ribs, spine, sternum, clavicles, scapulae."""

import numpy as np

from lungseg.phantom.shapes import Frame, cover, draw_tubes, edge, ellipsoid, join
from lungseg.volume import F32

MARROW_HU, CORTEX_HU, CARTILAGE_HU, DISC_HU = 190.0, 720.0, 105.0, 85.0
RIB_PITCH_MM, RIB_SLOPE_MM = 26.0, 34.0
VERTEBRA_MM = 25.0


def ribs(frame: Frame, ct: F32, cavity_mm: F32) -> None:
    """Paint the ribs into the shell around the cavity (`cavity_mm`: depth inside it).

    Ribs run down from the back to the front. In front, beside the sternum, they are cartilage.
    """
    at = np.flatnonzero((cavity_mm > -15.0) & (cavity_mm < 2.0))
    if at.size == 0:
        return
    x, y, z = (np.broadcast_to(c, frame.shape).ravel()[at] for c in (frame.x, frame.y, frame.z))
    shell = cavity_mm.ravel()[at] + np.float32(6.5)
    height = z - np.float32(RIB_SLOPE_MM) * np.clip(y / np.float32(85.0), -1.0, 1.0)
    number = np.round(height / np.float32(RIB_PITCH_MM))
    off = height - number * np.float32(RIB_PITCH_MM)
    norm = np.sqrt((shell / np.float32(3.7)) ** 2 + (off / np.float32(6.0)) ** 2)
    depth = (1 - norm) * np.float32(4.4)
    # First to tenth rib; the lower ones do not reach the sternum.
    depth = np.where((number < -5) | (number > 3), np.float32(-9.0), depth)
    lower = (number < -2) & (y < -40.0)
    depth = np.where(lower, np.float32(-9.0), depth)
    width = max(frame.width_xy, 0.6 * frame.width_z)
    filled = edge(depth, width)
    front = (y < -30.0) & (np.abs(x) < 62.0)
    bone = np.where(depth < 1.6, np.float32(CORTEX_HU), np.float32(MARROW_HU))
    hu = np.where(front, np.float32(CARTILAGE_HU), bone)
    flat = ct.reshape(-1)
    flat[at] += filled * (hu - flat[at])


def spine(frame: Frame, ct: F32) -> None:
    """Paint vertebrae, discs, the spinal canal and the processes."""
    box = frame.box((-38.0, 44.0, -1e4), (38.0, 124.0, 1e4))
    if box is None:
        return
    x, y, z = frame.part(box)
    part = ct[box]
    width, wz = frame.width_xy, frame.width_z
    step = z / np.float32(VERTEBRA_MM)
    level = np.abs(step - np.round(step)) * np.float32(VERTEBRA_MM)

    body = column_depth(x, y)
    column = edge(body, width) + 0 * z
    end_plate = edge(np.float32(9.8) - level, wz) + 0 * (x + y)
    cover(part, column, DISC_HU)
    cover(part, np.minimum(column, end_plate), 480.0)
    marrow = np.minimum(edge(body - 2, width), edge(np.float32(8.4) - level, wz))
    cover(part, marrow, MARROW_HU)

    ring = np.sqrt(x * x + (y - np.float32(93.0)) ** 2)
    arch = np.minimum(edge(np.float32(13.5) - ring, width), edge(np.float32(9.0) - level, wz))
    across = np.minimum(
        np.float32(34.0) - np.abs(x), np.float32(4.0) - np.abs(y - np.float32(90.0))
    )
    across = np.minimum(edge(across, width), edge(np.float32(5.0) - level, wz))
    behind = np.minimum(np.float32(3.5) - np.abs(x), np.float32(10.0) - np.abs(y - np.float32(105)))
    behind = np.minimum(edge(behind, width), edge(np.float32(7.0) - level, wz))
    cover(part, np.maximum(np.maximum(arch, across), behind), 430.0)
    cover(part, edge(np.float32(8.5) - ring, width) + 0 * z, 28.0)


def column_depth(x: F32, y: F32) -> F32:
    """Depth inside the column of vertebral bodies and discs, mm."""
    radius = np.sqrt((x / np.float32(20.0)) ** 2 + ((y - np.float32(68.0)) / np.float32(16.0)) ** 2)
    return np.asarray((1 - radius) * np.float32(17.5))


def shoulder_girdle(frame: Frame, ct: F32, under_skin: F32) -> None:
    """Paint sternum, clavicles, scapulae and heads of the humerus, inside `under_skin`."""
    bone = np.zeros(frame.shape, np.float32)
    marrow = np.zeros(frame.shape, np.float32)
    # The sternum follows the slope of the front wall.
    draw_tubes(
        frame, bone, np.array([[-7, -66, 84, -7, -97, -40, 8, 7], [7, -66, 84, 7, -97, -40, 8, 7]])
    )
    draw_tubes(frame, marrow, np.array([[0, -66, 82, 0, -97, -40, 6, 5]], float))
    for side in (-1.0, 1.0):
        draw_tubes(frame, bone, np.array([[side * 18, -60, 100, side * 112, -18, 142, 6.5, 6]]))
        draw_tubes(frame, marrow, np.array([[side * 18, -60, 100, side * 112, -18, 142, 3.5, 3]]))
        # The scapula: a fan of thin rods, from its medial border to the joint.
        joint = (side * 122.0, 40.0, 132.0)
        inner = np.linspace((side * 88.0, 97.0, 14.0), (side * 68.0, 92.0, 112.0), 15)
        outer = np.linspace((side * 96.0, 95.0, 10.0), joint, 15)
        rods = np.column_stack([inner, outer, np.full(15, 2.4), np.linspace(2.4, 4.5, 15)])
        draw_tubes(frame, bone, rods)
        join(bone, ellipsoid(frame, (side * 132.0, 18.0, 150.0), (20.0, 22.0, 24.0)))
        join(marrow, ellipsoid(frame, (side * 132.0, 18.0, 150.0), (16.0, 18.0, 20.0)))
    cover(ct, np.minimum(bone, under_skin), 560.0)
    cover(ct, np.minimum(marrow, under_skin), MARROW_HU)
