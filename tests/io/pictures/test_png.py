"""Pictures on disk."""

import numpy as np

from lungseg.io.pictures.png import write_picture, write_sheet
from lungseg.ops.overlay import Panel
from tests.io.pictures.picture_files import read_rgb


def test_rgb_and_grey_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_picture(rgb, tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), rgb)
    write_picture(rgb[:, :, 0], tmp_path / "b.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "b.png")[:, :, 2], rgb[:, :, 0])


def test_a_sheet_holds_every_panel_and_words(tmp_path):
    def panel(rows, columns, value):
        return Panel(np.full((rows, columns, 3), value, np.uint8), f"value {value}")

    write_sheet([[panel(40, 60, 200), panel(30, 20, 90)], [panel(10, 50, 150)]], "two\nlines",
                tmp_path / "sheet.png")  # fmt: skip
    picture = read_rgb(tmp_path / "sheet.png")[:, :, 0]
    for value, area in ((200, 40 * 60), (90, 30 * 20), (150, 10 * 50)):
        assert np.count_nonzero(picture == value) >= area
    assert (picture[:40] > 220).any()  # the title


def test_a_title_that_is_wider_than_the_panels_goes_on_in_the_next_line(tmp_path):
    """Nothing of it is drawn beyond the right edge, so that every word is there to be read."""
    panel = Panel(np.zeros((20, 200, 3), np.uint8), "")
    shapes = []
    for title in ("short", "about 510 ml of the right lower chest hold no air", "x" * 90):
        write_sheet([[panel]], title, tmp_path / "sheet.png")
        shapes.append(read_rgb(tmp_path / "sheet.png").shape[:2])
        if title[0] == "a":
            assert not (read_rgb(tmp_path / "sheet.png")[:, -4:] > 100).any()
    (one, width), (two, same), (single, _) = shapes
    assert (two - one, width) == (18, same)
    assert single == one, "a word cannot be broken"
