"""Submissions in LUNA16's form, made up: ties, doubles, exclusions, scans without a candidate."""

import csv

import numpy as np

POINT = ("seriesuid", "coordX", "coordY", "coordZ")
# Sizes of nodules, and of findings to ignore: unknown (-1) and flat (0) ones among them.
NODULES_MM, OTHERS_MM = (-1.0, 0.0, 4.0, 6.5, 8.0, 15.0, 30.0), (-1.0, -1.0, 0.0, 2.5, 7.0, 20.0)


def write(path, value, rows):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*POINT, value))
        writer.writerows(rows)


def make_submission(folder, seed, scans=24, most=60):
    """Write A, E, S and R.csv into a folder."""
    rng = np.random.default_rng(seed)
    names = [f"1.2.{k}" for k in range(scans)]
    of = {"A": [], "E": [], "R": []}
    for name in names:
        mine = []
        for letter, up_to, sizes in (("A", 4, NODULES_MM), ("E", 6, OTHERS_MM)):
            for _ in range(rng.integers(0, up_to)):
                mine.append((name, *rng.uniform(-40, 40, 3), rng.choice(sizes)))
                of[letter].append(mine[-1])
        for _ in range(rng.integers(0, most) if rng.random() > 0.2 else 0):
            at = rng.uniform(-40, 40, 3)
            if mine and rng.random() < 0.4:
                near = mine[rng.integers(len(mine))]
                # Some at the very edge, where the last bit decides.
                edge = rng.random() < 0.2
                step = (abs(near[4]) / 2, 0, 0) if edge else rng.normal(0, 2, 3)
                at = np.asarray(near[1:4]) + step
            of["R"].append((name, *at, round(rng.random(), 1)))
    rng.shuffle(of["R"])
    for letter, value in (("A", "diameter_mm"), ("E", "diameter_mm"), ("R", "probability")):
        write(folder / f"{letter}.csv", value, of[letter])
    (folder / "S.csv").write_text("\n".join(names) + "\n")
    return folder
