"""Masks on disk, one after the other: what of them is lung, and what is odd about them."""

from pathlib import Path

from lungseg.core.errors import DataError
from lungseg.io.pictures.reading import mask_values
from lungseg.ops.grid.mask_levels import (
    Levels,
    UncertainLevelsError,
    border_share,
    levels_of,
    lung_share,
)
from lungseg.ops.grid.picture_size import resized
from lungseg.volume import F32, MaskArray

# Lungs that a picture cuts touch its border; a mask of what is not lung takes most of it.
MOST_BORDER = 0.5
# White, of 8 and of 16 bits: it means lung in a mask of two values, whatever others may have.
WHITE = (255.0, 65535.0)


class MaskReader:
    """Reads the masks of one folder by the same rule, and remembers what it met.

    Parameters
    ----------
    levels
        Which values are lung: ``auto``, ``nonzero``, or values, ranges and colours.

    Raises
    ------
    DataError
        If `levels` is none of the forms.
    """

    def __init__(self, levels: str) -> None:
        self._levels: Levels = levels_of(levels)
        self._taken: dict[float, str] = {}
        self._labels: dict[float, str] = {}
        self.empty: list[str] = []
        """Names of masks without lung."""
        self.along_border: list[str] = []
        """Names of masks that were taken as told although they fill most of their border."""

    def read(self, path: Path) -> F32:
        """Share of lung of each pixel ``(y, x)``, 0 to 1.

        Raises
        ------
        DataError
            If it cannot be read, or what is lung in it was not told and is not certain.
        """
        values, coloured = mask_values(path)
        try:
            share = lung_share(values, self._levels, coloured=coloured)
        except UncertainLevelsError as error:
            for label in error.labels:
                self._labels.setdefault(label, path.name)
            raise UncertainLevelsError(
                f"{path}: {error}", labels=error.labels, setting=error.settings[0]
            ) from error
        mask = as_mask(share)
        if not mask.any():
            self.empty.append(path.name)
        along = border_share(mask)
        if along > MOST_BORDER:
            if not self._levels.is_told:
                raise DataError(
                    f"{path} is set along {along:.0%} of its border, as no mask of lungs is: is it "
                    "inverted?",
                    setting="mask_levels=0 if the lungs are its dark part, or "
                    "mask_levels=nonzero if it is right",
                )
            self.along_border.append(path.name)
        if not self._levels.is_told and not coloured:
            self._taken.setdefault(float(values.max()), path.name)
        return share

    def check_alike(self) -> None:
        """See that no mask was taken by a value that is one of several labels in another.

        Raises
        ------
        DataError
            If there is such a mask: where one has a left and a right lung, or the trachea, a mask
            with one of them alone is not certain either.
        """
        for level, taken in self._taken.items():
            if level in self._labels and level not in WHITE:
                raise DataError(
                    f"{taken} has the values 0 and {level:g}, and was taken for lung there; but "
                    f"in {self._labels[level]} {level:g} is one label of several",
                    setting="mask_levels to the values that are lung",
                )


def as_mask(share: F32, shape: tuple[int, int] | None = None) -> MaskArray:
    """The mask ``(y, x)`` of pixels that are half lung or more.

    With a `shape` the shares are resized first, so that the outline is kept to a fraction of a
    pixel.
    """
    values = share if shape is None else resized(share, shape)
    mask: MaskArray = values >= 0.5
    return mask
