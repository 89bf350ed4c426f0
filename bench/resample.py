"""Cost of resample: CPU seconds and peak memory, against SimpleITK and by number of slices."""

import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from lungseg.io.volumes import volume_file
from lungseg.ops.grid.resample import mask_to_grid, to_grid, working_grid
from lungseg.stages.resample import Resample, on_working_grid
from lungseg.volume import Geometry, Volume

WINDOW = (-1024, 400)


def noise(slices):
    """A scan like LIDC-IDRI-0314 in size, with a smooth chest and the noise of one."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:slices, :512, :512]
    chest = 500 * np.sin(x / 40) * np.sin(y / 40) * np.cos(z / 30) - 500
    hu = chest.astype(np.int16)
    hu += rng.integers(-40, 40, hu.shape, dtype=np.int16)
    return Volume(hu, Geometry((1.0, 0.78125, 0.78125)))


def cpu(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def by_simpleitk(ct, shape):
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    image = sitk.GetImageFromArray(ct.array)
    image.SetSpacing(ct.spacing_mm[::-1])
    clipped = sitk.Clamp(image, sitk.sitkInt16, *WINDOW)
    return sitk.Resample(
        clipped, shape[::-1], sitk.Transform(), sitk.sitkLinear, (0, 0, 0), (1.0, 1.0, 1.0)
    )


def main():
    with tempfile.TemporaryDirectory() as folder:
        for slices in (100, 200, 275, 400):
            ct = noise(slices)
            tracemalloc.start()
            on_working_grid(ct, np.nan, Resample())
            peak = (tracemalloc.get_traced_memory()[1]) / ct.array.nbytes
            tracemalloc.stop()
            seconds, (ours, _) = cpu(lambda ct=ct: on_working_grid(ct, np.nan, Resample()))
            written, _ = cpu(lambda ours=ours: volume_file.write(ours, Path(folder) / "ct.h5"))
            print(
                f"{slices} slices: clip + resample {seconds:.2f} CPU-s, write {written:.2f} CPU-s, "
                f"peak {peak:.2f} x the source beside it, output included"
            )
    ct = noise(275)
    shape, grid = working_grid(ct.shape, ct.geometry, 1.0)
    print(f"SimpleITK, 275 slices: {cpu(lambda: by_simpleitk(ct, shape))[0]:.2f} CPU-s")
    print(f"nearest: {cpu(lambda: to_grid(ct, shape, grid, 'nearest'))[0]:.2f} CPU-s")
    smooth = cpu(lambda: to_grid(ct, shape, grid, anti_alias=True))[0]
    print(f"linear, anti-aliased: {smooth:.2f} CPU-s")
    index = np.ogrid[:275, :400, :400]
    lungs = sum(
        ((index[k] - c) / r) ** 2 for k, c, r in ((0, 137, 130), (1, 200, 90), (2, 120, 60))
    )
    lungs = lungs < 1
    lungs |= lungs[:, :, ::-1]
    back = cpu(lambda: mask_to_grid(Volume(lungs, grid), ct.shape, ct.geometry))[0]
    print(f"two lungs back on the source grid: {back:.2f} CPU-s")


if __name__ == "__main__":
    sys.exit(main())
