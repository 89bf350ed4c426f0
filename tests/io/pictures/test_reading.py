"""Pictures of every mode and depth, turned as their EXIF says; masks in them."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from lungseg.core.errors import DataError
from lungseg.io.pictures.reading import mask_values, read_grey, shape_before_turning
from tests.io.pictures.test_pairs import save

RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
DISC = (np.hypot(*(np.indices((40, 40)) - 19.5)) < 12).astype(np.uint8)
ORIENTATION = 274
# What each value of the EXIF tag asks a viewer to do with the stored pixels.
TURNS = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}


def turned(path, array, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(array).save(path, exif=exif)
    return path


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_pictures_and_masks_are_turned_as_exif_says(tmp_path, orientation, ending):
    for array in (RAMP, RAMP.astype(np.uint16) * 100):
        path = turned(tmp_path / f"a.{ending}", array, orientation)
        expected = TURNS[orientation](array)
        np.testing.assert_array_equal(read_grey(path)[0], expected)
        np.testing.assert_array_equal(mask_values(path)[0], expected)
    assert shape_before_turning(path) == ((4, 6) if orientation > 4 else None)


def test_a_jpeg_is_turned_too(tmp_path):
    flat = np.full((16, 32), 200, np.uint8)
    assert read_grey(turned(tmp_path / "a.jpg", flat, 6))[0].shape == (32, 16)


def test_what_is_no_picture_was_not_turned(tmp_path):
    (tmp_path / "a.png").write_bytes(b"none")
    assert shape_before_turning(tmp_path / "a.png") is None


def test_a_tiff_in_which_0_is_white_is_inverted(tmp_path):
    deep = RAMP.astype(np.uint16) * 17  # to 3910: 12 bits
    Image.fromarray(deep).save(tmp_path / "a.tif", tiffinfo={262: 0})
    grey, most = read_grey(tmp_path / "a.tif")
    assert most == 4095
    np.testing.assert_array_equal(grey, 4095 - deep.astype(float))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "LA", "1", "L"])
def test_grey_is_the_same_in_every_mode(tmp_path, mode):
    two = Image.fromarray(DISC * 255)
    two.convert(mode).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_grey(tmp_path / "a.tif")[0], DISC * 255.0)
    values, coloured = mask_values(tmp_path / "a.tif")
    assert not coloured
    np.testing.assert_array_equal(values, DISC * 255)


def test_lightness_and_two_colours_become_grey(tmp_path):
    Image.new("LAB", (4, 4), (255, 128, 128)).save(tmp_path / "a.tif")
    assert (read_grey(tmp_path / "a.tif")[0] > 250).all()
    assert mask_values(tmp_path / "a.tif")[0].shape == (4, 4)


def test_a_palette_is_read_by_its_colours(tmp_path):
    picture = Image.fromarray(DISC, "P")
    picture.putpalette([255, 255, 255, 0, 0, 0])  # 0 is white, 1 is black
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(mask_values(tmp_path / "a.png")[0], 255 - 255 * DISC)
    picture.putpalette([0, 0, 0, 128, 0, 0])
    picture.save(tmp_path / "a.png")
    values, coloured = mask_values(tmp_path / "a.png")
    assert coloured
    np.testing.assert_array_equal(values, DISC.astype(int) * 0x800000)


@pytest.mark.parametrize("colour", [0, 255])
def test_a_mask_drawn_in_transparency_is_found_and_such_a_picture_is_refused(tmp_path, colour):
    for bands in (1, 3):
        rgba = np.full((40, 40, bands + 1), colour, np.uint8)
        rgba[..., -1] = DISC * 255
        save(tmp_path / "a.png", rgba)
        np.testing.assert_array_equal(mask_values(tmp_path / "a.png")[0], DISC * 255)
        with pytest.raises(DataError, match="only their transparency differs"):
            read_grey(tmp_path / "a.png")


def test_what_a_mask_hides_by_transparency_is_no_mask(tmp_path):
    rgba = np.full((40, 40, 4), 255, np.uint8)
    rgba[:20, :, :3] = DISC[:20, :, None] * 255
    rgba[20:, :, 3] = 0  # hidden: white
    save(tmp_path / "a.png", rgba)
    expected = DISC * 255
    expected[20:] = 0
    np.testing.assert_array_equal(mask_values(tmp_path / "a.png")[0], expected)


def test_black_lungs_on_hidden_white_are_found(tmp_path):
    rgba = np.full((40, 40, 4), 255, np.uint8)
    rgba[..., :3] = (1 - DISC[..., None]) * 255
    rgba[..., 3] = DISC * 255
    save(tmp_path / "a.png", rgba)
    np.testing.assert_array_equal(mask_values(tmp_path / "a.png")[0], DISC * 255)


def test_an_animated_png_is_refused(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), k, np.uint8)) for k in (1, 2)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="holds 2 pictures; give each its own file"):
        mask_values(tmp_path / "a.png")


def test_a_tiff_whose_fields_are_damaged_is_refused(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.tif")
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    # The count of values of the first field (its width) becomes larger than the file.
    where = int.from_bytes(raw[4:8], "little") + 2
    raw[where + 4 : where + 8] = (1 << 20).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(raw)
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_grey(tmp_path / "a.tif")


def test_a_warning_beside_good_pixels_is_logged(tmp_path, caplog, monkeypatch):
    save(tmp_path / "a.png", RAMP)
    turn = ImageOps.exif_transpose

    def warns(picture):
        warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=1)
        return turn(picture)

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", warns)
    np.testing.assert_array_equal(read_grey(tmp_path / "a.png")[0], RAMP)
    assert "a.png: Corrupt EXIF data" in caplog.text


def test_a_picture_that_asks_for_more_memory_than_there_is_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "a.png", RAMP)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("PIL.Image.open", full)
    with pytest.raises(DataError, match=r"cannot be read as a picture \(MemoryError\)"):
        read_grey(tmp_path / "a.png")
