"""The crop on whole anatomy: no voxel of lung or nodule is lost, and rows lie where they say."""

import numpy as np
import pytest

from lungseg.core.record import NAME, Record, write_record
from lungseg.core.stage import DatasetInputs
from lungseg.io.annotations.nodule_list import read_nodules
from lungseg.io.sources.index import find_scans, write_source
from lungseg.io.tables.reader import Tables, inconsistencies
from lungseg.io.volumes import volume_file
from lungseg.ops.grid.crop import crop_corner, cut, size_for
from lungseg.phantom.small_chest import chest
from lungseg.stages import annotate_nodules, build_tables, ingest, resample, segment_lungs
from lungseg.volume import Geometry
from tests.io.tables.table_rows import rows_of


@pytest.mark.parametrize("what", [{}, {"single": True}, {"collapsed_lobe": True}, {"seed": 3}])
def test_phantoms_keep_every_voxel_of_lung_and_nodule(what):
    phantom = chest(**what)
    size = size_for(352, phantom.ct.spacing_mm[1])
    assert size == 128
    corner = crop_corner(phantom.lungs.array, size)
    for mask in (phantom.lungs.array, phantom.nodules.array):
        assert np.count_nonzero(cut(mask, corner, size, 0)) == np.count_nonzero(mask) > 0


@pytest.fixture(scope="module")
def blocks(data, tmp_path_factory):
    """Folders of LIDC-IDRI-0001 to 0003 by scan, run stage after stage, and the cache's root."""
    work = tmp_path_factory.mktemp("real")
    roots = [data / "LIDC-IDRI" / f"LIDC-IDRI-000{k}" for k in (1, 2, 3)]
    found, _ = find_scans(roots, work / "index")
    scans = {}
    for source in found:
        folders = {"source": work / f"{source.scan}.json"}
        write_source(source, folders["source"])
        for module in (ingest, resample, segment_lungs, annotate_nodules):
            stage = module.STAGE
            out = folders[stage.name] = work / source.scan / stage.name
            out.mkdir(parents=True)
            facts = stage.run(stage.params(), folders, out)
            record = Record(
                stage=stage.name, version=1, fingerprint=stage.name, scan=source.scan,
                patient=source.patient, facts=facts,
            )  # fmt: skip
            write_record(record, out / NAME)
        scans[source.scan] = folders
    return scans


@pytest.mark.data
def test_real_scans_keep_every_voxel_of_lung_and_nodule(blocks, tmp_path):
    params = build_tables.BuildTables()
    facts = build_tables.run(params, DatasetInputs(scans=blocks, stages={}), tmp_path)
    assert (facts["scans"], facts["nodules"], facts["size"]) == (3, 3, 352)
    assert inconsistencies(tmp_path / "tables.h5") == []
    with Tables(tmp_path / "tables.h5") as table:
        for scan_row, (scan, folders) in enumerate(sorted(blocks.items())):
            rows = rows_of(table, scan)
            for name, stage, file in (
                ("lungs", "segment-lungs", "lungs.h5"),
                ("votes", "annotate-nodules", "votes.h5"),
                ("nodule", "annotate-nodules", "nodules.h5"),
            ):
                whole = volume_file.read(folders[stage] / file).array
                kept = table.read(name, rows)
                assert np.count_nonzero(kept) == np.count_nonzero(whole) > 0
            self_told = _centroid_mm(table, scan_row, rows)
            (nodule,) = read_nodules(folders["annotate-nodules"]).nodules
            # The list's centroid is the consensus', the table's that of all who drew it.
            assert np.linalg.norm(self_told - nodule.centroid_xyz_mm) < 2.0


def _centroid_mm(table, scan_row, rows):
    """World position of the votes' centre, by the table's own columns alone."""
    of_scan = table.scans[scan_row]
    geometry = Geometry(
        tuple(of_scan["spacing_mm"]), tuple(of_scan["origin_xyz_mm"]), of_scan["direction_xyz"]
    )
    votes = table.read("votes", rows)
    z, y, x = np.nonzero(votes)
    index = np.stack([table.slices["z_index"][rows][z], y, x], axis=-1)
    index[:, 1:] += of_scan["crop_zyx"][1:]
    world = geometry.to_world(index)
    np.testing.assert_allclose(table.slices["z_mm"][rows][z], world[:, 2], atol=1e-6)
    return np.average(world, axis=0, weights=votes[z, y, x])
