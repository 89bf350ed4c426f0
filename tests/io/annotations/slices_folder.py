"""Folders of nodule slices, made small, as people have them."""

import csv

import numpy as np
from PIL import Image

from lungseg.io.annotations.nodule_slices import COLUMNS

WIDTH = 24
SERIES = "1.2.840.113654.2.55.100000000000000000000000000000000000000001"


def disc(n=3, radius=5.0, centre=(12.0, 12.0), width=WIDTH):
    """The same disc on n slices, ``(n, width, width)`` bool."""
    y, x = np.mgrid[:width, :width]
    flat = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    return np.repeat(flat[None], n, axis=0)


def nodule(masks=None, **changes):
    """One nodule for `write_slices`: grey 100 outside, 200 where the first annotator drew."""
    masks = [disc(), disc(radius=4.0)] if masks is None else masks
    grey = np.where(masks[0], 200, 100).astype(np.uint8)
    return {
        "patient": "P1", "series": SERIES, "nodule": "1", "grey": grey, "masks": masks,
        "bits": list(range(len(masks))), "z_mm": [10.0 + 2 * k for k in range(len(grey))],
        "pixel_mm": 1.0, "row0": 100, "column0": 200, "hu_slope": 5.0, "hu_offset": -1000.0,
    } | changes  # fmt: skip


def write_slices(folder, *nodules, columns=COLUMNS):
    """Write the folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for each in nodules:
        (folder / each["patient"]).mkdir(exist_ok=True)
        stem = folder / each["patient"] / f"nodule-{each['nodule']}"
        grey = each["grey"]
        strip = grey.reshape(-1, grey.shape[-1])
        Image.fromarray(strip).save(f"{stem}_image.webp", lossless=True)
        drawn = np.zeros(grey.shape, np.uint8)
        for bit, mask in zip(each["bits"], each["masks"], strict=True):
            drawn[mask] |= 16 << bit
        Image.fromarray(drawn.reshape(strip.shape)).save(f"{stem}_readers.png")
        told = {"readers": len(each["masks"])} | each
        for row, z_mm in enumerate(each["z_mm"]):
            lines.append([{**told, "row": row, "z_mm": z_mm}[name] for name in columns])
    with (folder / "slices.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *lines])
    return folder


def stretched_tree(folder, masks, patient="LIDC-IDRI-0001"):
    """Write the widely shared layout and return its folder: grey k on slice k of each nodule."""
    for name, drawn in masks.items():
        of_nodule = folder / patient / f"nodule-{name}"
        images = [np.full(drawn[0].shape[1:], k, np.uint8) for k in range(len(drawn[0]))]
        stacks = {"images": images}
        stacks |= {f"mask-{k}": mask.astype(np.uint8) * 255 for k, mask in enumerate(drawn)}
        for place, planes in stacks.items():
            (of_nodule / place).mkdir(parents=True)
            for k, plane in enumerate(planes):
                Image.fromarray(plane).save(of_nodule / place / f"slice-{k}.png")
    return folder
