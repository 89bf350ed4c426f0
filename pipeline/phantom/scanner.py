"""What the scanner adds: correlated noise, and padding outside the circular field of view."""

from functools import lru_cache

import numpy as np

from lungseg.volume import F32, MaskArray, Triple

TILE = 512


@lru_cache(maxsize=8)
def grain(pixel_mm: float, seed: int) -> F32:
    """A square tile of noise with the spectrum of filtered back projection, sd 1.

    The spectrum rises with the frequency (the ramp) and falls off again (the kernel), which gives
    CT noise its grain; the tile is periodic, so that it may be rolled.
    """
    rng = np.random.default_rng([seed, 4])
    white = np.fft.rfft2(rng.standard_normal((TILE, TILE), np.float32))
    fy, fx = np.fft.fftfreq(TILE, pixel_mm)[:, None], np.fft.rfftfreq(TILE, pixel_mm)[None]
    frequency = np.hypot(fy, fx)
    shaped = white * (frequency * np.exp(-((frequency / 0.32) ** 2)) + 0.008)
    tile = np.fft.irfft2(shaped, (TILE, TILE)).astype(np.float32)
    tile /= tile.std()
    tile.flags.writeable = False
    return tile


@lru_cache(maxsize=4)
def mottle(pixel_mm: float, seed: int) -> F32:
    """A periodic tile of coarse unevenness (4 mm and more), sd 1: what perfusion does to a lung."""
    rng = np.random.default_rng([seed, 5])
    white = np.fft.rfft2(rng.standard_normal((TILE, TILE), np.float32))
    fy, fx = np.fft.fftfreq(TILE, pixel_mm)[:, None], np.fft.rfftfreq(TILE, pixel_mm)[None]
    raw = np.fft.irfft2(white * np.exp(-((np.hypot(fy, fx) / 0.06) ** 2)), (TILE, TILE))
    tile = np.asarray(raw / raw.std(), np.float32)
    tile.flags.writeable = False
    return tile


def add_noise(ct: F32, noise_hu: float, spacing_mm: Triple, first_slice: int, seed: int) -> None:
    """Add noise to slices in place; the noise of a slice depends only on its number and `seed`."""
    if noise_hu <= 0:
        return
    tile = grain(round(float(spacing_mm[1]), 3), seed)
    n, rows, columns = ct.shape
    tiled = np.tile(tile, (2 + rows // TILE, 2 + columns // TILE))
    # Thin slices share part of their noise with the next one.
    shared = float(np.clip(1.0 - spacing_mm[0] / 3.0, 0.0, 0.7))
    own, lent = noise_hu * np.sqrt(1 - shared**2), noise_hu * shared
    for k in range(n):
        for number, share in ((first_slice + k, own), (first_slice + k - 1, lent)):
            if share <= 0:
                continue
            rng = np.random.default_rng([seed, 6, number + 1])
            dy, dx = rng.integers(0, TILE, 2)
            ct[k] += np.float32(share) * tiled[dy : dy + rows, dx : dx + columns]


def window_of(tile: F32, shape: tuple[int, int, int], first_slice: int) -> F32:
    """A stack of windows into a periodic tile that drift from slice to slice."""
    n, rows, columns = shape
    tiled = np.tile(tile, (2 + rows // TILE, 2 + columns // TILE))
    starts = [(7 * (first_slice + k)) % TILE for k in range(n)]
    return np.stack([tiled[s : s + rows, s : s + columns] for s in starts])


def outside_circle(rows: int, columns: int) -> MaskArray:
    """Pixels of a slice outside the circle whose diameter is the slice's longer side."""
    y = (np.arange(rows) - (rows - 1) / 2)[:, None]
    x = (np.arange(columns) - (columns - 1) / 2)[None]
    radius = max(rows, columns) / 2
    return y * y + x * x > radius * radius
