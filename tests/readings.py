"""A small LIDC made by hand: boxes drawn by radiologists, as a database and as an XML file."""

import sqlite3

import numpy as np

from lungseg.io.annotations.lidc_database import RATINGS
from lungseg.ops.nodules.contours import Contour, Reading

SCHEMA = """
CREATE TABLE scans (id INTEGER PRIMARY KEY, study_instance_uid, series_instance_uid, patient_id,
  slice_thickness FLOAT, pixel_spacing FLOAT);
CREATE TABLE zvals (id INTEGER PRIMARY KEY, scan_id, val FLOAT);
CREATE TABLE annotations (id INTEGER PRIMARY KEY, scan_id, _nodule_id, {ratings});
CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id, inclusion BOOLEAN,
  image_z_position FLOAT, coords VARCHAR);
""".format(ratings=", ".join(f'"{name}"' for name in RATINGS))


def box_line(x0, y0, x1, y1):
    """Contour whose inside is the pixels x0..x1, y0..y1: its own pixels lie around them."""
    return np.array(
        [[x0 - 1, y0 - 1], [x1 + 1, y0 - 1], [x1 + 1, y1 + 1], [x0 - 1, y1 + 1], [x0 - 1, y0 - 1]]
    )


def box_reading(key, z_mm, x0, y0, x1, y1, malignancy=3):  # noqa: PLR0917
    """Someone drew the same box on each of these slices."""
    lines = tuple(Contour(float(z), box_line(x0, y0, x1, y1)) for z in z_mm)
    return Reading(key, lines, dict.fromkeys(RATINGS, 3) | {"malignancy": malignancy})


def write_database(path, scans):
    """`scans`: rows of (uid, patient, thickness, pixel, z values, readings)."""
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA)
        for scan, (uid, patient, thickness, pixel, z_mm, readings) in enumerate(scans, 1):
            db.execute(
                "INSERT INTO scans VALUES (?,?,?,?,?,?)",
                (scan, f"study of {uid}", uid, patient, thickness, pixel),
            )
            db.executemany(
                "INSERT INTO zvals (scan_id, val) VALUES (?,?)", [(scan, z) for z in z_mm]
            )
            for reading in readings:
                marks = ",".join("?" * (len(RATINGS) + 2))
                row = db.execute(
                    f"INSERT INTO annotations VALUES (NULL,{marks})",
                    (scan, reading.key, *(reading.ratings[name] for name in RATINGS)),
                )
                for line in reading.contours:
                    text = "\n".join(f"{x},{y}" for x, y in line.points_xy)
                    db.execute(
                        "INSERT INTO contours VALUES (NULL,?,?,?,?)",
                        (row.lastrowid, line.inclusion, line.z_mm, text),
                    )
    db.close()
    return path


def xml_text(uid, sessions, prefix=""):
    """A LIDC reading; each session is (readings, small nodules, non-nodules), these (x, y, z)."""
    p = f"{prefix}:" if prefix else ""
    space = f'xmlns{":" + prefix if prefix else ""}="http://www.nih.gov"'

    def tag(name, *inside):
        return f"<{p}{name}>{''.join(inside)}</{p}{name}>"

    def point(x, y):
        return tag("xCoord", str(x)) + tag("yCoord", str(y))

    def roi(z, points, inclusion=True):
        edges = [tag("edgeMap", point(x, y)) for x, y in points]
        flag = tag("inclusion", str(inclusion).upper())
        return tag("roi", tag("imageZposition", f"{z:.6f} "), flag, *edges)

    parts = []
    for readings, small, others in sessions:
        inside = []
        for reading in readings:
            rated = tag("characteristics", *(tag(n, str(v)) for n, v in reading.ratings.items()))
            rois = [roi(c.z_mm, c.points_xy, c.inclusion) for c in reading.contours]
            inside.append(tag("unblindedReadNodule", tag("noduleID", reading.key), rated, *rois))
        inside += [
            tag("unblindedReadNodule", tag("noduleID", "s"), roi(z, [(x, y)])) for x, y, z in small
        ]
        inside += [
            tag(
                "nonNodule",
                tag("nonNoduleID", "n"),
                tag("imageZposition", str(z)),
                tag("locus", point(x, y)),
            )
            for x, y, z in others
        ]
        parts.append(tag("readingSession", *inside))
    header = tag("ResponseHeader", tag("SeriesInstanceUid", uid))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{p}LidcReadMessage {space}>'
        + header
        + "".join(parts)
        + f"</{p}LidcReadMessage>\n"
    )
