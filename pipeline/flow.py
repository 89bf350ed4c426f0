"""The whole data flow on one screen: the stages, in the order they run, and the four commands.

    source files
      -> ingest              HU, as the files state it, on the scan's own grid
      -> resample            clipped, 1 mm, upright           (the working grid)
      -> segment-lungs       right 1, left 2
      -> write-lungs         the lung mask on the source grid, for `lungs` to hand out
      -> annotate-nodules    readers per voxel, nodule labels
    all scans
      -> build-tables        cropped to the lungs, one HDF5 file, one row a slice
      -> split-patients      train / validation / test
      -> train               the nodule net
    each scan
      -> predict             probability on the working grid, by the net of this folder or another
      -> find-nodules        candidates in the world, masks on both grids
      -> reduce-false-positives  the candidates judged once more, and in new order
      -> locate-candidates   where in the lungs they lie, and what they touch
      -> write-detections    mask, list and pictures, for `detect` to hand out
    all scans
      -> evaluate            Dice, sensitivity, false positives per scan

Every stage is a module of `lungseg.stages`: its parameters, a pure function, a thin `run`.
"""

from lungseg.core.stage import Stage
from lungseg.stages import (
    annotate_nodules,
    build_tables,
    evaluate,
    find_nodules,
    ingest,
    locate_candidates,
    predict,
    reduce_false_positives,
    resample,
    segment_lungs,
    split_patients,
    train,
    write_detections,
    write_lungs,
)

FLOW: tuple[Stage, ...] = (
    ingest.STAGE,
    resample.STAGE,
    segment_lungs.STAGE,
    write_lungs.STAGE,
    annotate_nodules.STAGE,
    build_tables.STAGE,
    split_patients.STAGE,
    train.STAGE,
    predict.STAGE,
    find_nodules.STAGE,
    reduce_false_positives.STAGE,
    locate_candidates.STAGE,
    write_detections.STAGE,
    evaluate.STAGE,
)

# What each command runs, besides whatever is missing before it.
COMMANDS: dict[str, tuple[str, ...]] = {
    "preprocess": ("ingest", "resample", "segment-lungs", "annotate-nodules"),
    "build-tables": ("build-tables", "split-patients"),
    "train": ("train",),
    "postprocess": (
        "predict",
        "find-nodules",
        "reduce-false-positives",
        "locate-candidates",
        "evaluate",
    ),
}

# What is run to hand files out, by the commands `lungs` and `detect` alone.
HANDED_OUT: dict[str, str] = {"lungs": "write-lungs", "detect": "write-detections"}
