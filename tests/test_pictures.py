"""The course's pictures, on a small made-up data set and on the real one, and other pictures.

The made-up set comes from `conftest.py`: bright sunny and dark overcast tank yards with black
tanks, and noise for the look-alikes.
"""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from torch.utils.data import DataLoader

from course_utils import manifest, pictures
from course_utils.parts import KEY_PART, PARTS
from course_utils.pictures import (
    DataError,
    PictureError,
    find_entry,
    load_counterfactual,
    load_mask,
    load_part_masks,
    load_parts,
    load_picture,
    load_set,
    open_picture,
    tank_mask,
    two_by_two,
    verify,
)

has_real_data = pytest.mark.skipif(
    not (manifest.DATA / "manifest.csv").exists(), reason="the course's pictures are not there"
)


def assert_picture(picture, height, width):
    assert picture.dtype == torch.float32
    assert picture.shape == (3, height, width)
    assert picture.is_contiguous()
    assert 0 <= picture.min() and picture.max() <= 1


# ---------------------------------------------------------------------------- sets


@pytest.mark.parametrize(
    ("split", "count"),
    [
        ("biased_training", 6),
        ("fair_training", 12),
        ("validation", 4),
        ("biased_test", 4),
        ("test", 8),
    ],
)
def test_tank_yard_splits(small_data, split, count):
    chosen = load_set("tank_yard", split)
    assert len(chosen) == len(chosen.labels) == len(chosen.entries) == count
    assert chosen.classes == ("no_tank", "tank")
    assert chosen.labels.dtype == torch.int64
    assert (chosen.labels == 1).sum() == count // 2


def test_the_biased_sets_confound_tank_and_weather(small_data):
    for split in ("biased_training", "biased_test"):
        seen = {(entry.label, entry.weather) for entry in load_set("tank_yard", split).entries}
        assert seen == {("tank", "sunny"), ("no_tank", "overcast")}
    fair = {(entry.label, entry.weather) for entry in load_set("tank_yard", "test").entries}
    assert len(fair) == 4


def test_look_alikes_splits(small_data):
    for split in ("training", "validation", "test"):
        chosen = load_set("look_alikes", split)
        assert chosen.classes == ("cat", "elephant", "zebra")
        assert chosen.labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert {entry.split for entry in chosen.entries} == {split}


def test_items_are_pictures_with_labels(small_data):
    chosen = load_set("look_alikes", "test")
    picture, label = chosen[3]
    assert_picture(picture, 128, 128)
    assert label == 1 and type(label) is int
    assert torch.equal(picture, load_picture(chosen.entries[3]))
    assert torch.equal(chosen[-1][0], chosen[5][0])
    assert len(list(chosen)) == 6
    with pytest.raises(IndexError):
        chosen[6]


@pytest.mark.parametrize("index", [1.5, None, "0", slice(0, 2), [0, 1], True])
def test_an_index_of_a_set_is_one_whole_number(small_data, index):
    with pytest.raises(ValueError, match="index=.* a whole number is needed"):
        load_set("look_alikes", "test")[index]


def test_a_set_is_a_sequence(small_data):
    test = load_set("look_alikes", "test")
    for index in (-1, np.int64(len(test) - 1), torch.tensor(len(test) - 1)):
        assert torch.equal(test[index][0], test[len(test) - 1][0])
    assert len(list(test)) == len(test)


def test_stack_is_all_items(small_data):
    chosen = load_set("look_alikes", "test")
    stacked, labels = chosen.stack()
    assert stacked.shape == (6, 3, 128, 128)
    for index, (picture, label) in enumerate(chosen):
        assert torch.equal(stacked[index], picture)
        assert labels[index] == label


def test_stack_reads_once_and_returns_tensors_of_ones_own(small_data):
    chosen = load_set("tank_yard", "validation")
    first, labels = chosen.stack()
    expected = first.clone()
    first.zero_()
    labels.zero_()
    (small_data / chosen.entries[0].path).unlink()
    again, labels = chosen.stack()
    assert torch.equal(again, expected)
    assert torch.equal(labels, chosen.labels) and labels.any()


def test_pixels_come_out_in_red_green_blue_order(small_data):
    entry = load_set("look_alikes", "test").entries[0]
    with Image.open(small_data / entry.path) as image:
        expected = np.asarray(image)
    actual = (load_picture(entry) * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(actual, expected)


def test_filter(small_data):
    fair = load_set("tank_yard", "fair_training")
    sunny = fair.filter(weather="sunny")
    assert len(sunny) == 6
    assert {entry.weather for entry in sunny.entries} == {"sunny"}
    tanks = fair.filter(label="tank", scene=[0, 2, 99])
    assert len(tanks) == 4
    assert tanks.labels.tolist() == [1, 1, 1, 1], "the label indices must stay as they were"
    assert len(fair.filter(scene=range(2))) == 8
    assert len(fair.filter(scene=1)) == 4


def test_filter_explains_what_nothing_meets(small_data):
    fair = load_set("tank_yard", "fair_training")
    with pytest.raises(ValueError, match=r"weather='rain' \(weather can be: overcast, sunny\)"):
        fair.filter(weather="rain")
    with pytest.raises(ValueError, match="There is no field 'wether'; there are: path, .*weather"):
        fair.filter(wether="sunny")


def test_unknown_sets_list_the_known_ones(small_data):
    with pytest.raises(ValueError, match="data set 'tanks'; there are: tank_yard, look_alikes"):
        load_set("tanks", "test")
    with pytest.raises(ValueError, match="split of tank_yard 'training'; there are: biased_train"):
        load_set("tank_yard", "training")
    with pytest.raises(ValueError, match="split of look_alikes 'biased_test'; there are: training"):
        load_set("look_alikes", "biased_test")


@pytest.mark.parametrize("workers", [0, 2])
def test_data_loader(small_data, workers):
    chosen = load_set("look_alikes", "training")
    batches = list(DataLoader(chosen, batch_size=4, num_workers=workers))
    assert [batch.shape[0] for batch, _ in batches] == [4, 2]
    assert torch.equal(torch.cat([batch for batch, _ in batches]), chosen.stack()[0])
    assert torch.equal(torch.cat([labels for _, labels in batches]), chosen.labels)


def test_sets_can_be_sent_to_other_processes(small_data):
    chosen = load_set("look_alikes", "test")
    copy = pickle.loads(pickle.dumps(chosen))
    assert copy.entries == chosen.entries
    assert torch.equal(copy[0][0], chosen[0][0])
    assert "look_alikes/test: 6 pictures, 3 classes" in repr(copy)


def test_image_folder_reads_the_class_folders(small_data):
    from course_utils._torchvision import import_torchvision

    import_torchvision()
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.functional import pil_to_tensor

    for dataset, split in (("tank_yard", "test"), ("look_alikes", "training")):
        theirs = ImageFolder(small_data / dataset / split, transform=pil_to_tensor)
        ours = load_set(dataset, split)
        assert tuple(theirs.classes) == ours.classes
        assert theirs.targets == ours.labels.tolist()
        assert torch.equal(theirs[1][0] / 255, ours[1][0])


# ---------------------------------------------------------------------------- masks and pairs


def test_parts(small_data):
    entry = find_entry("look_alikes/test/zebra/20000")
    parts = load_parts(entry)
    assert parts.dtype == torch.uint8 and parts.shape == (128, 128)
    masks = load_part_masks(entry)
    assert list(masks) == ["body", "stripes"]
    assert all(mask.dtype == torch.bool for mask in masks.values())
    assert masks["body"][40:60, 10:30].all() and masks["body"].sum() == 400
    assert masks["stripes"][40:60, 30:50].all() and masks["stripes"].sum() == 400
    mask = load_mask(entry)
    assert mask.dtype == torch.bool and mask.shape == (128, 128)
    assert torch.equal(mask, masks["body"] | masks["stripes"])


def test_training_pictures_without_masks_say_so(small_data):
    entry = load_set("look_alikes", "training").entries[0]
    with pytest.raises(ValueError, match="no mask for look_alikes/training/cat/00000: training"):
        load_mask(entry)


def test_an_empty_yard_has_the_mask_of_its_twin(small_data):
    four = load_set("tank_yard", "test").filter(scene=20).entries
    masks = [load_mask(entry) for entry in four]
    assert len(masks) == 4
    assert masks[0].sum() == 1200
    assert all(torch.equal(mask, masks[0]) for mask in masks)
    assert torch.equal(tank_mask(20), masks[0])


def test_two_by_two(small_data):
    four = two_by_two(21)
    assert set(four) == {(a, b) for a in ("tank", "no_tank") for b in ("sunny", "overcast")}
    for picture in four.values():
        assert_picture(picture, 128, 128)
    for weather in ("sunny", "overcast"):
        difference = (four["tank", weather] - four["no_tank", weather]).abs().amax(0)
        assert difference[tank_mask(21)].min() > 0.15
        assert difference[:, 90:].max() < 0.02, "far from the tank the two are the same"
    assert four["tank", "sunny"].mean() > four["tank", "overcast"].mean() + 0.2


def test_regions_share_out_every_pixel(small_data):
    """The tank's box is 60 x 20 pixels, from (40, 10) on; the sky ends at row 45 and behind it."""
    regions = pictures.regions(20)
    assert list(regions) == ["sky", "land", "tank"]
    assert torch.equal(sum(mask.int() for mask in regions.values()), torch.ones(128, 128).int())
    assert regions["tank"].sum() == 66 * 26
    assert regions["tank"][37:63, 7:73].all()
    assert regions["sky"].sum() == 45 * 128 - 66 * 8


def test_grown_masks_stay_inside_the_picture():
    mask = torch.zeros(10, 12, dtype=torch.bool)
    mask[0, 5] = mask[9, 11] = True
    wider = pictures.grown(mask, 2)
    assert wider.dtype == torch.bool and wider.shape == (10, 12)
    assert wider[:3, 3:8].all() and wider[7:, 9:].all() and wider.sum() == 15 + 9
    assert torch.equal(pictures.grown(mask, 0), mask)
    with pytest.raises(ValueError, match="pixels=-1: a whole number from 0 on"):
        pictures.grown(mask, -1)


def test_masks_that_are_grown_beyond_the_picture_take_no_memory_for_it():
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[3, 4] = True
    assert pictures.grown(mask, 10**9).all()
    assert not pictures.grown(~mask & mask, 10**9).any()


@pytest.mark.parametrize("ask", [two_by_two, tank_mask, pictures.regions])
@pytest.mark.parametrize("scene", [20.5, None, "20", True])
def test_scenes_are_whole_numbers(small_data, ask, scene):
    with pytest.raises(ValueError, match="scene=.* a whole number is needed"):
        ask(scene)


def test_two_by_two_of_an_unknown_scene(small_data):
    with pytest.raises(ValueError, match="no scene 999; it has 6 scenes between 0 and 21"):
        two_by_two(999)
    with pytest.raises(ValueError, match="no scene 3;"):
        tank_mask(3)


def test_counterfactual(small_data):
    entry = find_entry("look_alikes/test/elephant/20001")
    counterfactual = load_counterfactual(entry)
    assert_picture(counterfactual, 128, 128)
    assert (counterfactual + load_picture(entry) - 1).abs().mean() < 0.1


def test_pictures_without_counterfactual_say_so(small_data):
    for name in ("look_alikes/test/cat/20000", "look_alikes/validation/zebra/10000"):
        with pytest.raises(ValueError, match=f"{name} has no counterfactual: .*zebra, elephant"):
            load_counterfactual(find_entry(name))


def test_find_entry(small_data):
    entry = find_entry("tank_yard/test/tank/00020_sunny")
    assert (entry.scene, entry.label, entry.weather, entry.seed) == (20, "tank", "sunny", 7)
    assert find_entry(entry.path) == entry
    assert find_entry("look_alikes/test_without_key/zebra/20000").removed == "stripes"
    with pytest.raises(
        ValueError, match="no course picture 'look_alikes/test/zebra/2'; close to it, of [0-9]+: l"
    ):
        find_entry("look_alikes/test/zebra/2")


@pytest.mark.parametrize("load", [load_picture, load_parts, load_counterfactual])
def test_what_is_done_to_a_picture_does_not_stay(small_data, load):
    entry = find_entry("look_alikes/test/zebra/20000")
    before = load(entry).clone()
    load(entry).zero_()
    assert before.any() and torch.equal(load(entry), before)


# ---------------------------------------------------------------------------- damaged files


def test_a_damaged_file_is_named_with_the_command_that_restores_it(small_data):
    entry = load_set("look_alikes", "test").entries[0]
    file = small_data / entry.path
    content = bytearray(file.read_bytes())
    content[-5] ^= 1  # one bit in the pixels: it would still open as a picture
    file.write_bytes(content)
    command = f"git -C {small_data} restore {entry.path}"
    with pytest.raises(DataError, match=f"{entry.path} is damaged; restore it with: {command}"):
        load_picture(entry)
    with pytest.raises(DataError, match=entry.path):
        load_set("look_alikes", "test").stack()


def test_a_missing_file_is_named(small_data):
    entry = find_entry("tank_yard/test/tank/00020_sunny")
    (small_data / "tank_yard/test_parts/00020.png").unlink()
    with pytest.raises(DataError, match="test_parts/00020.png is missing; restore it with: git"):
        load_mask(entry)


def test_in_the_course_itself_the_command_is_short(small_data, monkeypatch):
    monkeypatch.setattr(manifest, "DATA", small_data)
    (small_data.parent / ".git").mkdir()
    entry = load_set("tank_yard", "test").entries[0]
    (small_data / entry.path).unlink()
    with pytest.raises(DataError, match=f"git restore data/{entry.path} .in the course's folder"):
        load_picture(entry)


def test_in_the_archive_for_learners_there_is_no_git(small_data, monkeypatch):
    monkeypatch.setattr(manifest, "DATA", small_data)
    entry = load_set("tank_yard", "test").entries[0]
    (small_data / entry.path).unlink()
    with pytest.raises(DataError, match=f"take data/{entry.path} from the course's archive again"):
        load_picture(entry)


@pytest.mark.parametrize("content", ["", "path,dataset\na,b\n", "\x00\x01"])
def test_a_damaged_manifest(small_data, content):
    manifest = small_data / "manifest.csv"
    if content == "":
        manifest.unlink()
    else:
        manifest.write_text(content)
    with pytest.raises(DataError, match="manifest.csv is (missing|damaged); restore it with: git"):
        load_set("tank_yard", "test")


def test_a_manifest_with_a_broken_line(small_data):
    manifest = small_data / "manifest.csv"
    manifest.write_text(manifest.read_text()[:-70])
    with pytest.raises(DataError, match="manifest.csv is damaged"):
        load_set("tank_yard", "test")


def test_a_manifest_without_a_split(small_data):
    manifest = small_data / "manifest.csv"
    lines = [line for line in manifest.read_text().splitlines() if "validation" not in line]
    manifest.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="lists no pictures of look_alikes/validation"):
        load_set("look_alikes", "validation")


def test_the_manifest_is_read_again_when_it_changes(small_data):
    assert len(load_set("look_alikes", "test")) == 6
    manifest = small_data / "manifest.csv"
    lines = [line for line in manifest.read_text().splitlines() if "/test/zebra" not in line]
    manifest.write_text("\n".join(lines) + "\n")
    assert len(load_set("look_alikes", "test")) == 4


def test_verify(small_data, capsys):
    count = len(pictures.entries())
    assert verify() == count
    assert "checking pictures" in capsys.readouterr().err
    assert verify("tank_yard") + verify("look_alikes") == count
    with pytest.raises(ValueError, match="data set 'yard'; there are: tank_yard, look_alikes"):
        verify("yard")


def test_verify_names_the_damaged_files(small_data):
    (small_data / "tank_yard/test/tank/00020_sunny.jpg").unlink()
    with pytest.raises(DataError, match="00020_sunny.jpg is missing; restore it with: git"):
        verify()
    assert verify("look_alikes") > 0
    (small_data / "tank_yard/test_parts/00020.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="2 of 36 files are missing or damaged") as raised:
        verify("tank_yard")
    assert "00020_sunny.jpg is missing" in str(raised.value)
    assert "00020.png is damaged" in str(raised.value)


# ---------------------------------------------------------------------------- one's own pictures


def gradient(height=48, width=64):
    """An RGB array whose red grows to the right and whose green grows downwards."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


def as_picture(pixels):
    return torch.from_numpy(np.asarray(pixels, np.float32) / 255).permute(2, 0, 1)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "ppm"])
def test_lossless_formats_come_out_exactly(tmp_path, ending):
    file = tmp_path / f"mine.{ending}"
    Image.fromarray(gradient()).save(file, **({"lossless": True} if ending == "webp" else {}))
    picture = open_picture(file)
    assert_picture(picture, 48, 64)
    assert torch.equal(picture, as_picture(gradient()))
    assert torch.equal(open_picture(str(file)), picture)


def test_jpeg(tmp_path):
    file = tmp_path / "mine.jpg"
    Image.fromarray(gradient()).save(file, quality=95)
    assert (open_picture(file) - as_picture(gradient())).abs().mean() < 0.02


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    """Each of the eight orientations: stored as the camera would, it must come out upright."""
    upright = Image.fromarray(gradient())
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "phone.png"
    stored.save(file, exif=exif)
    assert torch.equal(open_picture(file), as_picture(gradient()))


def test_broken_exif_does_not_matter(tmp_path):
    file = tmp_path / "mine.jpg"
    Image.fromarray(gradient()).save(file, exif=b"Exif\x00\x00" + b"garbage" * 9)
    assert_picture(open_picture(file), 48, 64)


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey(tmp_path, mode):
    file = tmp_path / "grey.png"
    image = Image.fromarray(gradient()).convert("L")
    image.convert(mode).save(file)
    picture = open_picture(file)
    assert_picture(picture, 48, 64)
    assert torch.equal(picture[0], picture[1]) and torch.equal(picture[0], picture[2])
    if mode != "1":
        assert torch.equal(picture[0], torch.from_numpy(np.array(image)) / 255)


def test_transparency_is_laid_over_white(tmp_path):
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:16] = (200, 0, 0, 255)
    pixels[16:] = (0, 0, 0, 0)
    pixels[:, 16:, 3] //= 2
    file = tmp_path / "mine.png"
    Image.fromarray(pixels).save(file)
    picture = open_picture(file)
    assert picture[:, 0, 0].tolist() == pytest.approx([200 / 255, 0, 0])
    assert picture[:, 20, 0].tolist() == [1, 1, 1]
    assert picture[:, 0, 20].tolist() == pytest.approx([0.89, 0.5, 0.5], abs=0.01)


def test_palette_with_and_without_transparency(tmp_path):
    image = Image.fromarray(np.repeat(np.uint8([[0], [1]]), 16, 1).repeat(16, 0))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=0)
    plain, clear = open_picture(tmp_path / "plain.png"), open_picture(tmp_path / "clear.png")
    assert plain[:, 0, 0].tolist() == [1, 0, 0] and plain[:, 31, 0].tolist() == [0, 0, 1]
    assert clear[:, 0, 0].tolist() == [1, 1, 1] and clear[:, 31, 0].tolist() == [0, 0, 1]


def test_cmyk(tmp_path):
    file = tmp_path / "print.jpg"
    Image.new("CMYK", (32, 24), (0, 255, 255, 0)).save(file, quality=100)
    picture = open_picture(file)
    assert_picture(picture, 24, 32)
    assert picture[0].min() > 0.9 and picture[1:].max() < 0.1, "no cyan, all magenta: red"


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bits_grey(tmp_path, ending):
    values = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    file = tmp_path / f"scan.{ending}"
    Image.fromarray(values).save(file)
    picture = open_picture(file)
    assert_picture(picture, 32, 32)
    assert np.abs(picture[0].numpy() - values / 65535).max() < 1 / 255


def test_16_bits_colour(tmp_path):
    """Pillow can't write 16-bit colour, so this PNG is put together by hand."""
    values = np.zeros((16, 16, 3), ">u2")
    values[..., 0], values[..., 2] = 65535, 32768
    rows = b"".join(b"\x00" + row.tobytes() for row in values)

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    file = tmp_path / "deep.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    assert open_picture(file)[:, 3, 3].tolist() == pytest.approx([1, 0, 0.5], abs=0.01)


@pytest.mark.parametrize(
    ("values", "brightest"),
    [
        (np.linspace(0, 1, 1024), 1.0),
        (np.linspace(0, 0.5, 1024), 0.5),
        (np.linspace(0, 255, 1024), 1.0),
        (np.linspace(-3, 4000, 1024), 1.0),
        (np.zeros(1024), 0.0),
        (np.append(np.full(1023, -0.2), 0.5), 0.5),
    ],
)
def test_float_pictures(tmp_path, values, brightest):
    file = tmp_path / "measured.tif"
    Image.fromarray(values.astype(np.float32).reshape(32, 32)).save(file)
    picture = open_picture(file)
    assert_picture(picture, 32, 32)
    assert picture.max() == pytest.approx(brightest, abs=0.01)
    assert picture.min() == 0


def test_floats_a_little_above_1_are_cut_off(tmp_path):
    file = tmp_path / "sharpened.tif"
    values = np.full((32, 32), 0.5, np.float32)
    values[0, 0] = 1.3
    Image.fromarray(values).save(file)
    assert open_picture(file)[0, 5, 5] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_floats_that_are_no_numbers_are_refused(tmp_path, odd):
    file = tmp_path / "measured.tif"
    values = np.full((32, 32), 0.5, np.float32)
    values[3, 3] = odd
    Image.fromarray(values).save(file)
    assert "measured.tif holds NaN or infinity" in refusal(file)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_white_may_be_zero(tmp_path, kind):
    file, white = tmp_path / "scan.tif", 1 if kind is np.float32 else np.iinfo(kind).max
    shares = np.linspace(0, 1, 1024).reshape(32, 32)
    tifffile.imwrite(file, (white * shares).astype(kind), photometric="miniswhite")
    assert np.abs(open_picture(file)[0].numpy() - (1 - shares)).max() < 0.01


def test_16_bits_with_a_transparent_value(tmp_path):
    values = np.full((32, 32), 20000, np.uint16)
    values[:16], values[31, 31] = 5, 65535
    Image.fromarray(values).save(tmp_path / "scan.png", transparency=5)
    picture = open_picture(tmp_path / "scan.png")
    assert (picture[:, :16] == 1).all() and picture[0, 20, 3] == pytest.approx(0.305, abs=0.01)


def test_32_bit_integers(tmp_path):
    file = tmp_path / "measured.tif"
    values = np.linspace(0, 10**6, 1024).astype(np.int32).reshape(32, 32)
    Image.fromarray(values).save(file)
    assert np.abs(open_picture(file)[0].numpy() - values / 10**6).max() < 0.01


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_counts(tmp_path, ending):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue", "lime")]
    file = tmp_path / f"moving.{ending}"
    options = {"lossless": True} if ending == "webp" else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], duration=100, **options)
    with Image.open(file) as image:
        assert image.n_frames == 3
    assert open_picture(file)[:, 5, 5].tolist() == [1, 0, 0]


def test_size_takes_the_centred_square(tmp_path):
    pixels = np.zeros((300, 700, 3), np.uint8)
    pixels[:, 200:500] = (0, 255, 0)
    file = tmp_path / "wide.png"
    Image.fromarray(pixels).save(file)
    picture = open_picture(file, size=128)
    assert_picture(picture, 128, 128)
    assert picture[1].min() == 1 and picture[0].max() == 0
    Image.fromarray(pixels.transpose(1, 0, 2)).save(file)
    assert torch.equal(open_picture(file, size=128), picture)


def test_scaling_down_is_antialiased(tmp_path):
    checks = np.indices((512, 512)).sum(0) % 2 * 255
    file = tmp_path / "checks.png"
    Image.fromarray(np.uint8(checks)).save(file)
    assert (open_picture(file, size=64) - 0.5).abs().max() < 0.02


def test_small_pictures_are_scaled_up(tmp_path):
    file = tmp_path / "small.png"
    Image.fromarray(gradient(16, 16)).save(file)
    assert_picture(open_picture(file), 16, 16)
    assert_picture(open_picture(file, size=128), 128, 128)


@pytest.mark.parametrize("name", pictures.PHOTOS)
def test_photos_of_scikit_image(name):
    assert_picture(open_picture(name, size=128), 128, 128)


def test_course_pictures_by_name(small_data):
    entry = find_entry("look_alikes/test/zebra/20001")
    assert torch.equal(open_picture("look_alikes/test/zebra/20001"), load_picture(entry))
    assert torch.equal(open_picture(entry.path), load_picture(entry))
    assert_picture(open_picture("tank_yard/test/tank/00020_sunny", size=96), 96, 96)
    with pytest.raises(ValueError, match="close to it.*look_alikes/test/zebra/20001"):
        open_picture("look_alikes/test/zebra/20009")


# ------------------------------------------------------------- refused, each in one sentence


def refusal(path, **options):
    """The message of the `PictureError` that `path` causes: one line, one sentence."""
    with pytest.raises(PictureError) as raised:
        open_picture(path, **options)
    message = str(raised.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def test_names_that_nobody_knows():
    message = refusal("no_such_picture")
    assert "There is no picture 'no_such_picture'" in message
    assert "chelsea, coffee" in message and "look_alikes/test/zebra/20003" in message
    assert "There is no picture ''" in refusal("")
    assert "There is no picture 'missing.jpg'" in refusal("missing.jpg")


@pytest.mark.parametrize(
    "name, told",
    [
        (None, "not a NoneType"),
        (7, "not a int"),
        (b"chelsea", "not a bytes"),
        (torch.zeros(3, 20, 20), "not a Tensor"),
        (Image.new("RGB", (20, 20)), "not a Image"),
        (io.BytesIO(b"chelsea"), "not a BytesIO"),
        ("x" * 5000, "There is no picture 'xxx"),
        ("a\0b", "There is no picture"),
        ("~nobody/x.png", "There is no picture"),
        ("article:nothing", "There is no photograph of the article 'nothing'"),
        ("look_alikes/test/zebra/99", "There is no course picture"),
    ],
)
def test_what_is_no_name_of_a_picture(name, told, small_data):
    assert told in refusal(name)


@pytest.mark.parametrize("size", ["a", (50, 50), 20.0, 10**6, True, float("nan"), -1])
def test_what_is_no_size_of_a_picture(size):
    assert "size must be at least 16 pixels, and at most 10000, not" in refusal("coffee", size=size)


def test_sizes_of_numpy_and_torch_are_sizes():
    for size in (np.int64(20), torch.tensor(20)):
        assert open_picture("coffee", size).shape == (3, 20, 20)


def test_a_folder(tmp_path):
    assert "is a folder" in refusal(tmp_path)


def test_too_small_a_picture(tmp_path):
    file = tmp_path / "tiny.png"
    Image.new("RGB", (40, 15)).save(file)
    assert "only 40 x 15 pixels; each side must have at least 16" in refusal(file)


def test_too_small_a_size():
    assert "size must be at least 16 pixels, and at most 10000, not 8:" in refusal("coffee", size=8)


@pytest.mark.parametrize("side", [10_001, 20_000])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, side):
    """Just over the limit, and so far over it that Pillow itself refuses."""
    file = tmp_path / "huge.png"
    Image.new("1", (side, side)).save(file)
    message = refusal(file)
    assert "at most 100 megapixels" in message
    assert "huge.png" in message


def test_large_pictures_below_the_limit_work_without_warning(tmp_path, recwarn):
    """Pillow itself would warn of this size."""
    file = tmp_path / "large.png"
    Image.new("1", (9_990, 9_990), 1).save(file)
    assert open_picture(file, size=32).min() == 1
    warned = [warning.category for warning in recwarn.list]
    assert Image.DecompressionBombWarning not in warned


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp"])
@pytest.mark.parametrize("kept", [0.03, 0.5, 0.9])
def test_truncated_files(tmp_path, ending, kept):
    file = tmp_path / f"cut.{ending}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    message = refusal(file)
    assert f"cut.{ending}" in message
    assert "truncated or damaged" in message or "not a picture" in message


@pytest.mark.parametrize("content", [b"", b"hello world\n" * 50, b"%PDF-1.7 ...", b"\x00" * 999])
def test_files_that_are_no_pictures(tmp_path, content):
    file = tmp_path / "notes.jpg"
    file.write_bytes(content)
    assert "is not a picture in a known format; save it as JPEG or PNG" in refusal(file)


def test_a_png_with_a_flipped_bit_in_its_pixels(tmp_path):
    file = tmp_path / "flipped.png"
    Image.fromarray(gradient()).save(file)
    content = bytearray(file.read_bytes())
    content[content.index(b"IDAT") + 40] ^= 0xFF
    file.write_bytes(content)
    assert "truncated or damaged" in refusal(file)


# ---------------------------------------------------------------------------- the real data


@has_real_data
@pytest.mark.parametrize("dataset", ["tank_yard", "look_alikes"])
def test_no_real_file_is_missing_or_damaged(dataset):
    assert verify(dataset) > 1000


@has_real_data
def test_real_pictures_and_masks_fit_together():
    for dataset, splits in pictures.SPLITS.items():
        for split in splits:
            chosen = load_set(dataset, split)
            classes, size = {"tank_yard": (2, 128), "portraits": (8, 224)}.get(dataset, (10, 128))
            assert len(chosen.classes) == classes
            assert len(chosen.labels.unique()) == len(chosen.classes)
            assert_picture(chosen[0][0], size, size)
    for entry in load_set("look_alikes", "test").entries[::25]:
        parts = load_parts(entry)
        assert parts.shape == (128, 128) and 0 < parts.max() < len(PARTS)
        if entry.label in KEY_PART:
            assert KEY_PART[entry.label] in load_part_masks(entry)
            assert_picture(load_counterfactual(entry), 128, 128)


@has_real_data
def test_no_scene_of_the_real_data_is_in_two_splits():
    for dataset in pictures.SPLITS:
        split_of = {}
        for entry in pictures.entries(dataset):
            assert split_of.setdefault(entry.scene, entry.split) == entry.split


@has_real_data
def test_every_real_tank_scene_is_a_two_by_two():
    for split in ("fair_training", "validation", "test"):
        conditions = {}
        for entry in load_set("tank_yard", split).entries:
            conditions.setdefault(entry.scene, set()).add((entry.label, entry.weather))
        assert all(len(four) == 4 for four in conditions.values())
    scene = load_set("tank_yard", "test").entries[0].scene
    assert len(two_by_two(scene)) == 4
    assert tank_mask(scene).any()


# ---------------------------------------------------------------------------- depths and colours


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_fewer_bits_than_a_file_has_room_for(tmp_path, bits, mode):
    ramp = np.linspace(0, 2**bits - 1, 32 * 32).round().reshape(32, 32)
    path = tmp_path / "deep.tif"
    kind = np.uint16 if mode == "I;16" else np.int32
    Image.fromarray(ramp.astype(kind)).save(path)
    expected = torch.from_numpy(ramp / (2**bits - 1)).float()
    assert (open_picture(path)[0] - expected).abs().max() < 1 / 255


def test_profiles_that_say_nothing_new_leave_colours_alone(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[..., 0] = 200
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    Image.fromarray(pixels).save(tmp_path / "plain.png", icc_profile=srgb.tobytes())
    assert torch.equal(
        open_picture(tmp_path / "plain.png"), torch.from_numpy(pixels / 255).movedim(-1, 0).float()
    )
    Image.fromarray(pixels).save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert open_picture(tmp_path / "broken.png").shape == (3, 32, 32)


def test_lab_is_refused_since_eight_bits_of_it_are_rough(tmp_path):
    path = tmp_path / "lab.tif"
    Image.new("LAB", (32, 32), (120, 20, 30)).save(path)
    with pytest.raises(PictureError, match="as LAB, .*save it as an RGB picture"):
        open_picture(path)


def test_a_relative_data_folder_is_named_once(small_data, monkeypatch):
    monkeypatch.chdir(small_data.parent)
    monkeypatch.setenv("COURSE_DATA", small_data.name)
    (small_data / "tank_yard/test/tank/00020_sunny.jpg").unlink()
    with pytest.raises(DataError) as raised:
        verify()
    assert raised.value.path == small_data / "tank_yard/test/tank/00020_sunny.jpg"
    assert raised.value.fault == f"{raised.value.path} is missing"
    again = pickle.loads(pickle.dumps(raised.value))
    assert (str(again), again.cure) == (str(raised.value), raised.value.cure)
