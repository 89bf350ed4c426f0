"""What each score of `evaluate` means; written into scores.json beside the scores."""

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
    "per_slice": "means over axial slices of the working grid: dice and iou over those with target "
    "voxels; with_empty over all, an empty slice being 1 if nothing is marked in it, else 0",
}
