"""What each score of `evaluate` means; written into scores.json beside the scores."""

from lungseg.ops.scores.nodules import NODULE_DEFINITIONS

DEFINITIONS = {
    "nodule": "a nodule that at least min_readers radiologists drew; its centre is the centroid of "
    "its consensus, its diameter that of the ball of the same volume",
    "hit": "a candidate nearer to a nodule's centre than its radius (strictly; an unknown diameter "
    "is 10 mm); of several on one nodule the likeliest counts, the others are dropped (duplicates)",
    "ignored": "a candidate that hits no nodule and lies within a nodule of fewer readers or a "
    "finding to ignore; dropped",
    "false_positive": "any other candidate",
    "sensitivity": "nodules hit / all nodules of the scored scans, those without a candidate too",
    "sensitivity_at": "sensitivity at the threshold that gives so many false positives per scored "
    "scan, scans without nodules too; straight lines between the points of the curve, level "
    "beyond its end",
    "cpm": "mean of sensitivity_at 1/8, 1/4, 1/2, 1, 2, 4 and 8",
    "interval": "2.5 % and 97.5 % quantile over draws of as many scans with replacement",
    "calibration": "share of nodules among hits and false positives (duplicates and ignored left "
    "out), in ten bins of a tenth of probability; ece: mean distance of a bin's mean probability "
    "and its share of nodules, weighted by candidates; score: the candidate's probability as it "
    "is, calibrated: by the curve that the net keeps; fitted: the curve that fits these candidates",
    "target": "voxels of a nodule that at least consensus_level of its readers included; every "
    "other voxel with a vote is left out of the count",
    "marked": "voxels of find-nodules' masks, on the working grid, the whole of it",
    "pooled": "from the counts of voxels of all scored scans together",
    "mean_per_scan": "mean over the scored scans that hold target voxels",
    "mean_per_nodule": "mean over all nodules, the missed as 0: Dice of the nodule's target voxels "
    "and all masks that touch them; mean_per_found_nodule: over those that a mask touches",
    "beside_annotators": "nodules of whose voxels it is known who drew them, of four readings at "
    "most; a nodule's score is of its consensus and all masks that touch it, without voxels of "
    "other nodules; a nodule that is not found is 0 (by_found tells of the found alone)",
    **{
        name: told
        for name, told in NODULE_DEFINITIONS.items()
        if name not in {"grid", "diameter", "dice", "sensitivity", "interval"}
    },
    "by_size": "diameter of the ball of the consensus' volume, mm; a group may hold others",
    "by_texture": "median of the annotators' ratings in LIDC: 1 and 2 ground-glass (non-solid), 3 "
    "part-solid, 4 and 5 solid",
    "by_side": "the lung that holds most of the nodule, or is nearest; none farther than 20 mm",
    "by_third": "third of the height of that lung, from its lowest to its highest voxel, in which "
    "the nodule's centre lies",
    "by_edge": "distance from the nodule to the nearest voxel outside the lungs (chest wall, "
    "diaphragm, mediastinum, hilum), less one voxel; 0 where it touches",
    "cpm of a group": "of the group's nodules alone, against the false positives of all scans",
    "outcomes": "what two results are compared by: by scan each nodule's probability (null if "
    "missed) and Dice, and the probabilities of the false positives",
    "per_slice": "means over axial slices of the working grid: dice and iou over those with target "
    "voxels; with_empty over all, an empty slice being 1 if nothing is marked in it, else 0",
}
