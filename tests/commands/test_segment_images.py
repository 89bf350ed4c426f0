"""Segmenting single images: any size, pictures and DICOM, and what is written."""

import dataclasses

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from lungseg.cli import main
from lungseg.commands.segment_images import (
    TILES,
    net_and_images,
    overlay,
    probability_of,
    segment_images,
)
from lungseg.core.errors import ConfigError, DataError
from lungseg.io.pictures.single_images import SingleImage, find_images, read_single_image
from lungseg.model import inference, nets
from lungseg.model.model_record import NET, ModelRecord, write_model_record
from lungseg.model.nets import CurrentNet
from lungseg.model.samples import Samples
from lungseg.steps.picture_table import build_picture_table
from tests.test_flow import write_scan

PICTURES = ModelRecord(
    target="lungs", classes=["background", "lungs"], kind="pictures", network={}, context=0,
    low=0.0, high=255.0, inside_lungs=False, crop_px=64, spacing_mm=[1.0, 1.0, 1.0],
    table_fingerprint="t", split_hash="s", train_patients=[], validation_patients=[],
    best_epoch=1,
)  # fmt: skip
CT = dataclasses.replace(PICTURES, kind="ct", low=-1000.0, high=400.0, crop_px=32)


class Dark:
    """A net that finds what is dark."""

    def __init__(self):
        self.shapes = set()

    def predict_on_batch(self, x):
        self.shapes.add(x.shape[1:])
        self.seen = x
        return np.stack([x[..., 0], 1 - x[..., 0]], -1)


@pytest.fixture
def model(tmp_path, monkeypatch):
    folder = write_stand_in(tmp_path / "net")
    write_model_record(PICTURES, folder)
    monkeypatch.setattr(inference, "load_net", lambda _: Dark())
    return folder


def write_stand_in(folder):
    """A folder with an archive that stands for a net's file."""
    folder.mkdir()
    (folder / NET).touch()
    return folder


def chest_picture(shape):
    grey = np.full(shape, 220, np.uint8)
    y, x = shape[0] // 4, shape[1] // 4
    grey[y : 3 * y, x : 2 * x] = 20
    return grey


def write_radiograph(path, grey, **elements):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.Modality = "DX"
    dataset.Rows, dataset.Columns = grey.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelData = grey.astype(np.uint16).tobytes()
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("shape", [(64, 64), (120, 97), (40, 200), (513, 700)])
@pytest.mark.parametrize("fit", ["resize", "tiles"])
def test_a_picture_of_any_size_gets_its_mask(model, tmp_path, shape, fit):
    grey = chest_picture(shape)
    Image.fromarray(grey).save(tmp_path / "chest.png")
    (done,) = segment_images(model, [tmp_path / "chest.png"], tmp_path / "out", fit=fit)
    mask = np.asarray(Image.open(done.files["mask"]))
    assert mask.shape == done.size_px == shape
    assert set(np.unique(mask)) == {0, 255}
    truth = grey < 128
    overlap = np.count_nonzero((mask > 0) & truth) / np.count_nonzero((mask > 0) | truth)
    assert overlap > (0.99 if fit == "tiles" else 0.85)
    deep = np.asarray(Image.open(done.files["probability"]))
    assert deep.max() > 255
    np.testing.assert_array_equal(deep / 65535 >= 0.5, mask > 0)
    assert np.asarray(Image.open(done.files["overlay"])).shape == (*shape, 3)
    assert done.share == pytest.approx(truth.mean(), abs=0.03)


def test_one_that_cannot_be_read_does_not_stop_the_others(model, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    (tmp_path / "notes.txt").write_text("no picture either")
    Image.fromarray(chest_picture((64, 64))).save(tmp_path / "good.png")
    files = [tmp_path / name for name in ("bad.png", "notes.txt", "absent.png", "good.png")]
    done = segment_images(model, files, tmp_path / "out")
    assert "cannot be read as a picture" in done[0].error
    assert "neither a DICOM file nor a picture" in done[1].error
    assert "there is no file" in done[2].error
    assert not done[3].error
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_without_memory_on_the_gpu_the_cpu_is_advised(model, tmp_path, monkeypatch):
    class Full:
        def predict_on_batch(self, _):
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")

    monkeypatch.setattr(inference, "load_net", lambda _: Full())
    Image.fromarray(chest_picture((40, 50))).save(tmp_path / "chest.png")
    (done,) = segment_images(model, [tmp_path / "chest.png"], tmp_path / "out")
    size = PICTURES.crop_px
    assert done.error == (
        f"the device ran out of memory with a batch of 1 x {size} x {size} pixels (slices, y, x); "
        "set the environment variable CUDA_VISIBLE_DEVICES=-1 to run on the CPU"
    )


def test_two_of_one_name_are_refused(model, tmp_path):
    files = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    with pytest.raises(ConfigError, match="both be written as x_mask"):
        segment_images(model, files, tmp_path / "out")


@pytest.mark.parametrize("what", [{"fit": "squeeze"}, {"threshold": 0.0}])
def test_settings_out_of_range_are_refused(model, tmp_path, what):
    with pytest.raises(ConfigError, match="must be one of auto, resize, tiles"):
        segment_images(model, [], tmp_path / "out", **what)


def test_a_negative_radiograph_is_turned(tmp_path):
    grey = chest_picture((40, 50)).astype(np.int32) * 10
    positive = read_single_image(write_radiograph(tmp_path / "a.dcm", grey))
    negative = read_single_image(
        write_radiograph(tmp_path / "b.dcm", 4095 - grey, PhotometricInterpretation="MONOCHROME1")
    )
    np.testing.assert_allclose(positive.values, negative.values, atol=0.01)
    assert positive.values.min() == 0
    assert positive.values.max() == 255
    assert not positive.in_hu


def test_a_radiograph_without_a_window_is_shown_without_its_extremes(tmp_path):
    grey = np.arange(4000).reshape(40, 100)
    shown = read_single_image(write_radiograph(tmp_path / "a.dcm", grey)).values.ravel()
    assert [(shown == 0).sum(), (shown == 255).sum()] == [20, 20]
    assert shown[1000] == pytest.approx(255 * (1000 - 20) / 3960, abs=0.1)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, (0.5, 0.25)),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"PixelSpacing": [0.5, 0.25], "ImagerPixelSpacing": [0.2, 0.1]}, (0.5, 0.25)),
        ({"PixelSpacing": [0, 0.25]}, None),
        ({}, None),
    ],
)
def test_spacing_is_that_of_rows_then_columns(tmp_path, elements, expected):
    path = write_radiograph(tmp_path / "a.dcm", np.arange(80).reshape(8, 10), **elements)
    assert read_single_image(path).spacing_mm == expected


def test_a_deep_picture_has_the_greys_of_a_shallow_one(tmp_path):
    grey = chest_picture((40, 50))
    grey[0, 0] = 255
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "b.png")
    shallow, deep = (read_single_image(tmp_path / name).values for name in ("a.png", "b.png"))
    np.testing.assert_allclose(deep, shallow, atol=1e-4)
    np.testing.assert_array_equal(shallow, grey)


def test_a_pixel_of_just_the_threshold_is_marked(model, tmp_path):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "black.png")
    (done,) = segment_images(model, [tmp_path / "black.png"], tmp_path / "out", threshold=1.0)
    assert done.share == 1


def test_a_wide_ct_slice_that_is_shown_whole_lies_in_air():
    net = Dark()
    hu = np.full((16, 32), 400, np.float32)
    probability_of(SingleImage(hu, in_hu=True, spacing_mm=(1.0, 1.0)), net, CT, fit="resize")
    assert (net.seen[0, 8:24] == 1).all()
    assert (net.seen[0, [0, 7, 24, 31]] == 0).all()


def test_a_radiograph_is_shown_as_its_window_says(tmp_path):
    grey = np.arange(4000).reshape(40, 100)
    shown = read_single_image(
        write_radiograph(tmp_path / "a.dcm", grey, WindowCenter=1000, WindowWidth=500)
    ).values.ravel()
    assert (shown[:740] == 0).all()
    assert (shown[1260:] == 255).all()
    assert shown[1000] == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 1000, "WindowWidth": 0},
        {"WindowCenter": 9000, "WindowWidth": 1},
        {"WindowCenter": ["", ""], "WindowWidth": ["", ""]},
        {"WindowCenter": 1000, "WindowWidth": ""},
        {"WindowCenter": 1000},
    ],
)
def test_a_readable_film_with_an_unusable_window_is_shown_as_one_without(tmp_path, window):
    grey = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    write_radiograph(tmp_path / "a.dcm", grey)
    write_radiograph(tmp_path / "b.dcm", grey, **window)
    expected = read_single_image(tmp_path / "a.dcm").values
    assert np.ptp(expected) == 255
    np.testing.assert_array_equal(read_single_image(tmp_path / "b.dcm").values, expected)


def test_the_first_usable_window_is_taken(tmp_path):
    grey = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    write_radiograph(tmp_path / "a.dcm", grey, WindowCenter=1000, WindowWidth=500)
    both = {"WindowCenter": [700, 1000], "WindowWidth": [0, 500]}
    write_radiograph(tmp_path / "b.dcm", grey, **both)
    one, other = (read_single_image(tmp_path / f"{name}.dcm").values for name in "ab")
    np.testing.assert_array_equal(one, other)
    exact = {"WindowCenter": 1000, "WindowWidth": 0.5, "VOILUTFunction": "LINEAR_EXACT"}
    write_radiograph(tmp_path / "c.dcm", grey, **exact)
    assert set(np.unique(read_single_image(tmp_path / "c.dcm").values)) >= {0.0, 255.0}


def test_several_frames_and_broken_pixels_are_refused(tmp_path):
    many = write_radiograph(tmp_path / "a.dcm", np.zeros((3, 8, 8)), NumberOfFrames=3)
    with pytest.raises(DataError, match=r"shape \(3, 8, 8\); one grey image"):
        read_single_image(many)
    short = write_radiograph(tmp_path / "b.dcm", np.zeros((8, 8)), Rows=16)
    with pytest.raises(DataError, match=r"pixels of .* cannot be read"):
        read_single_image(short)


def test_a_net_of_hu_refuses_grey_values():
    grey = SingleImage(np.zeros((40, 40), np.float32), in_hu=False)
    with pytest.raises(DataError, match="trained on CT in HU"):
        probability_of(grey, Dark(), CT)


def test_a_picture_is_shown_whole_in_the_middle_of_black():
    net = Dark()
    bright = SingleImage(np.full((100, 200), 255, np.float32), in_hu=False)
    probability_of(bright, net, PICTURES)
    shown = np.zeros((64, 64))
    shown[16:48] = 1
    np.testing.assert_array_equal(net.seen[0, ..., 0], shown)
    probability_of(bright, net, dataclasses.replace(PICTURES, picture_fit="stretch"))
    assert (net.seen == 1).all()


def test_a_ct_slice_is_shown_at_the_spacing_of_training(monkeypatch):
    shown = []
    monkeypatch.setattr(
        inference, "predict_tiled", lambda _net, image, *_how: shown.append(image) or image[..., 0]
    )
    hu = np.full((60, 80), 400, np.float32)
    hu[20:40, 20:60] = -1000
    # 120 mm high and 40 mm wide; of training 2 mm and 0.5 mm a pixel.
    image = SingleImage(hu, in_hu=True, spacing_mm=(2.0, 0.5))
    record = dataclasses.replace(CT, spacing_mm=[9.0, 2.5, 0.25])
    found = probability_of(image, Dark(), record)
    assert shown[0].shape == (48, 160, 1)
    dark = shown[0][..., 0] < 0.5
    assert (dark.any(axis=1).nonzero()[0][[0, -1]] == [16, 31]).all()
    assert (dark.any(axis=0).nonzero()[0][[0, -1]] == [40, 119]).all()
    assert found.shape == (60, 80)
    np.testing.assert_array_equal(found < 0.5, hu < 0)


def test_a_ct_slice_without_spacing_is_refused():
    image = SingleImage(np.full((32, 32), -1000, np.float32), in_hu=True)
    with pytest.raises(DataError, match=r"pixels of 1 x 1 mm and the file does not say"):
        probability_of(image, Dark(), CT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"inside_lungs": True}, "outside the lungs blanked, and a slice has no lung mask: give"),
        ({"context": 2}, "with 2 neighbouring slices on each side, and a slice comes alone: give"),
        ({"inside_lungs": True, "context": 1}, "lung mask; and with 1 neighbouring"),
    ],
)
def test_a_net_of_ct_that_needs_more_than_a_slice_is_refused(model, tmp_path, change, reason):
    (model / NET).write_bytes(b"")
    write_model_record(dataclasses.replace(CT, **change), model)
    with pytest.raises(ConfigError, match=reason) as refused:
        segment_images(model, [tmp_path / "a.dcm"], tmp_path / "out")
    assert f"`lungseg-cli detect SCAN --model {model / NET} --out FOLDER`" in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a.mhd", "a.nrrd", "a.NII.GZ"])
def test_a_volume_is_pointed_to_detect_and_the_others_are_done(model, tmp_path, name):
    Image.fromarray(chest_picture((64, 64))).save(tmp_path / "good.png")
    (tmp_path / name).touch()
    volume, good = segment_images(model, [tmp_path / name, tmp_path / "good.png"], tmp_path / "out")
    assert f"{name} is a volume" in volume.error
    assert f"`lungseg-cli detect {tmp_path / name} --out FOLDER`" in volume.error
    assert not good.error


def test_a_ct_net_is_shown_tiles_and_a_net_of_pictures_the_whole(monkeypatch):
    ways = []
    monkeypatch.setattr(
        inference, "predict_tiled",
        lambda _net, image, *how: ways.append(how) or image[..., 0],
    )  # fmt: skip
    ct = SingleImage(np.zeros((40, 50), np.float32), in_hu=True, spacing_mm=(1.0, 1.0))
    grey = SingleImage(np.zeros((40, 50), np.float32), in_hu=False)
    probability_of(ct, Dark(), CT)
    assert ways == [(32, 8, TILES)]
    probability_of(grey, Dark(), PICTURES)
    probability_of(ct, Dark(), CT, fit="resize")
    assert len(ways) == 1
    probability_of(grey, Dark(), PICTURES, fit="tiles")
    assert len(ways) == 2


def test_a_net_sees_a_picture_as_it_saw_the_tables_row(tmp_path):
    """What training is given of the table's row is what the net is shown of the file."""
    grey = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for name in ("a.png", "a_mask.png"):
        Image.fromarray(grey).save(tmp_path / name)
    build_picture_table(tmp_path, tmp_path, tmp_path / "tables.h5", 64, mask_levels="128-255")
    record = dataclasses.replace(PICTURES, context=1, low=20.0, high=200.0)
    samples = Samples(tmp_path / "tables.h5", record.input_spec)
    trained_on, _ = samples.plain([0])
    samples.tables.close()
    net = Dark()
    probability_of(read_single_image(tmp_path / "a.png"), net, record)
    np.testing.assert_array_equal(net.seen, trained_on)


def test_a_ct_slice_is_shown_to_a_net_of_pictures_in_its_window():
    hu = np.array([[-2000, -1000], [-300, 400]], np.float32).repeat(32, 0).repeat(32, 1)
    net = Dark()
    probability_of(SingleImage(hu, in_hu=True), net, PICTURES)
    np.testing.assert_allclose(np.unique(net.seen), [0, 0.5, 1], atol=1e-6)


@pytest.mark.parametrize("context", [0, 2])
def test_a_picture_alone_stands_for_its_neighbours(context):
    grey = np.random.default_rng(0).uniform(0, 255, (64, 64)).astype(np.float32)
    net = Dark()
    record = dataclasses.replace(PICTURES, context=context)
    probability_of(SingleImage(grey, in_hu=False), net, record)
    expected = np.repeat(np.floor(grey[..., None]) / 255, 2 * context + 1, axis=-1)
    np.testing.assert_allclose(net.seen[0], expected, atol=1 / 255)


def test_a_slice_of_the_nets_own_size_and_spacing_is_shown_as_the_tables_row():
    hu = np.random.default_rng(0).uniform(-1200, 600, (32, 32)).astype(np.float32)
    net = Dark()
    probability_of(SingleImage(hu, in_hu=True, spacing_mm=(1.0, 1.0)), net, CT, fit="resize")
    expected = np.clip((hu[..., None] + 1000) / 1400, 0, 1)
    np.testing.assert_allclose(net.seen[0], expected, atol=1e-6)


@pytest.mark.data
def test_a_real_slice_is_read_as_hu(data):
    path = min((data / "LIDC-IDRI" / "LIDC-IDRI-0003").rglob("*.dcm"))
    image = read_single_image(path)
    assert image.in_hu
    assert image.values.shape == (512, 512)
    assert image.spacing_mm[0] == image.spacing_mm[1] > 0.4
    assert -1100 < np.median(image.values) < 200


def test_the_overlay_is_red_on_the_outline_and_grey_outside():
    image = SingleImage(np.full((20, 20), 100, np.float32), in_hu=False)
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    picture = overlay(image, mask)
    assert (picture[5, 5:15] == (255, 64, 64)).all()
    assert (picture[:4] == 100).all()
    assert picture[10, 10].tolist() == [131, 92, 92]  # a fifth of the outline's colour


def test_a_ct_slice_is_nothing_for_the_packages_net_of_x_rays(tmp_path):
    _, slices = write_scan(tmp_path / "scan", "one", "1.2.826.61")
    (done,) = segment_images(nets.shipped_nets()["xray-lungs"], slices[9:10], tmp_path / "out")
    assert done.error.startswith("it is a CT slice, and xray-lungs knows chest X-rays")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """The package has one net, of lungs on X-rays."""
    (tmp_path / "trained").mkdir()
    monkeypatch.setattr(nets, "TRAINED", tmp_path / "trained")
    file = tmp_path / "trained" / "xray-lungs.keras"
    file.touch()
    return file


def test_the_packages_net_of_x_rays_is_taken_when_none_is_named(shipped, tmp_path):
    films = [tmp_path / "a.png", tmp_path]
    assert net_and_images(None, films) == (CurrentNet(shipped, "comes with the package"), films)
    shipped.unlink()
    with pytest.raises(ConfigError, match="no net xray-lungs comes with this package"):
        net_and_images(None, films)


def test_a_net_may_be_named_by_an_option_or_before_the_images(shipped, model, tmp_path):
    film = tmp_path / "a.png"
    found, images = net_and_images(str(model), [film])
    assert (found.file, found.origin, images) == (model / NET, f"--model {model}", [film])
    for first in (model, model / NET):
        found, images = net_and_images(None, [first, film])
        assert (found.file, found.origin, images) == (model / NET, f"named as {first}", [film])


def test_a_net_without_images_is_asked_for_them(model):
    with pytest.raises(ConfigError, match="is a net; name the images, too"):
        net_and_images(None, [model])


def test_a_work_folder_without_a_net_is_not_taken_for_a_folder_of_images(shipped, tmp_path):
    (tmp_path / "work" / "dataset").mkdir(parents=True)
    with pytest.raises(ConfigError, match="there is no trained net in this folder"):
        net_and_images(None, [tmp_path / "work", tmp_path / "a.png"])


def test_the_command_says_which_net_it_took(shipped, tmp_path, monkeypatch):
    write_model_record(PICTURES, write_stand_in(tmp_path / "stand-in"))
    (tmp_path / "stand-in" / NET).replace(shipped)
    monkeypatch.setattr(inference, "load_net", lambda _: Dark())
    Image.fromarray(chest_picture((64, 64))).save(tmp_path / "chest.png")
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["segment", str(tmp_path / "chest.png"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"net  {shipped} (comes with the package)"
    assert (out / "chest_mask.png").is_file()


def test_a_folder_stands_for_the_images_in_it(tmp_path, caplog):
    for name in ("b.png", "a.JPG", "a_mask.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "inner").mkdir()
    single = tmp_path / "notes.txt"
    found = find_images([single, tmp_path])
    assert found == [single, *(tmp_path / name for name in ("IM0001", "a.JPG", "b.png"))]
    assert "3 that are no images are left out: .hidden.png, inner, notes.txt" in caplog.text
    with pytest.raises(ConfigError, match="no image in"):
        find_images([tmp_path / "inner"])
    with pytest.raises(ConfigError, match=r"gone\.png: there is no such file or folder"):
        find_images([single, tmp_path / "gone.png"])


def test_an_image_that_is_not_there_is_a_usage_error_and_nothing_is_made(tmp_path):
    words = ["segment", tmp_path / "film.png", "--out", tmp_path / "out"]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 2
    assert done.output.count("there is no such file or folder") == 1
    assert list(tmp_path.iterdir()) == []
