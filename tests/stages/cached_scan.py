"""A scan as the stages before build-tables leave it, small, with anatomy that is known."""

import numpy as np

from lungseg.core.record import NAME, Record, write_record
from lungseg.io.annotations.nodule_list import Nodule, NoduleList, write_nodules
from lungseg.io.volumes import volume_file
from lungseg.volume import Geometry, Volume

SHAPE = (10, 70, 80)
LUNGS = (slice(2, 9), slice(10, 50), slice(12, 70))
GEOMETRY = Geometry((1.0, 1.0, 1.0), (-40.0, -30.0, -100.0))


def cached_scan(
    folder, scan, *, patient="", truth="contours", verdict="good", nodules=None, **what
):
    """Folders of resample, segment-lungs and annotate-nodules by name.

    `nodules` maps label to (readers, votes, z, y, x), the last three slices; `what` may give
    lungs (a box), geometry, fingerprint, shape.
    """
    shape = what.get("shape", SHAPE)
    rng = np.random.default_rng(sum(scan.encode()))
    ct = rng.integers(-1024, 400, shape).astype(np.int16)
    lungs = np.zeros(shape, np.uint8)
    z, y, x = what.get("lungs", LUNGS)
    lungs[z, y, x.start : (x.start + x.stop) // 2] = 1
    lungs[z, y, (x.start + x.stop) // 2 : x.stop] = 2
    votes, labels = np.zeros(shape, np.uint8), np.zeros(shape, np.uint16)
    for label, (_, count, *box) in (nodules or {}).items():
        votes[tuple(box)], labels[tuple(box)] = count, label
    outputs = {
        "resample": {"ct.h5": ct},
        "segment-lungs": {"lungs.h5": lungs},
        "annotate-nodules": {"votes.h5": votes, "nodules.h5": labels},
    }
    geometry = what.get("geometry", GEOMETRY)
    folders = {}
    for stage, volumes in outputs.items():
        folders[stage] = folder / stage / scan
        folders[stage].mkdir(parents=True)
        for name, array in volumes.items():
            volume_file.write(Volume(array, geometry), folders[stage] / name)
        record = Record(
            stage=stage,
            version=1,
            fingerprint=f"{stage} of {scan}{what.get('fingerprint', '')}",
            scan=scan,
            patient=patient or f"P-{scan}",
            facts={"verdict": verdict, "truth": truth},
        )
        write_record(record, folders[stage] / NAME)
    found = tuple(
        Nodule(
            label=label,
            readers=readers,
            truth=truth,
            centroid_xyz_mm=(1.0, 2.0, 3.0),
            diameter_mm=5.0,
            min_diameter_mm=4.0,
            max_diameter_mm=6.0,
            volume_mm3=65.0,
            voxels=int((labels == label).sum()),
            share_in_lungs=1.0,
        )
        for label, (readers, *_) in (nodules or {}).items()
    )
    write_nodules(
        NoduleList(scan=scan, truth=truth, nodules=found),
        folders["annotate-nodules"] / "nodules.json",
    )
    return folders
