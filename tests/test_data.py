"Data sets by name through TFDS (mocked or tiny, no network), batches and streams."

import hashlib
import shutil
import weakref
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from click.testing import CliRunner
from folders import write_images
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from acgan_nb.cli import main
from acgan_nb import sources
from acgan_nb import tfds as tfds_module
from acgan_nb.data import (
    Dataset,
    batches,
    class_ids,
    from_pixels,
    load,
    to_pixels,
)
from acgan_nb.sources import stack
from acgan_nb.plan import as_dataset
from acgan_nb.stream import Stream, is_streamable

few = settings(max_examples=15, deadline=None)
MOCKED = {  # TFDS name: image shape, number of classes
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "imagenet_resized/32x32": ((32, 32, 3), 1000),
}
MIXED_SIZES = "tf_flowers"
EXAMPLES = 40


class Numbered(tfds.core.GeneratorBasedBuilder):
    "A data set that TFDS really prepares: images filled with their own number, label = number % 5."

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image, label = tfds.features.Image(shape=(6, 6, 1)), tfds.features.ClassLabel(num_classes=5)
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 40), "test": self._generate_examples(50, 60)}

    def _generate_examples(self, first, end):
        for i in range(first, end):
            yield i, {"image": np.full((6, 6, 1), i, "uint8"), "label": i % 5}


def write_metadata(name, data_dir):
    "What TFDS' mock needs to know the splits of a data set that is not there."
    builder = tfds.builder(name, data_dir=data_dir)
    where = dict(data_dir=builder.data_dir, dataset_name=builder.name, filetype_suffix="tfrecord")
    template = tfds.core.ShardedFileTemplate(**where)
    one = dict(shard_lengths=[EXAMPLES], num_bytes=0, filename_template=template)
    splits = [tfds.core.SplitInfo(name=split, **one) for split in ("train", "test")]
    builder.info.set_splits(tfds.core.SplitDict(splits))
    Path(builder.data_dir).mkdir(parents=True)
    builder.info.write_to_directory(builder.data_dir)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("tfds"))
    for name in (*MOCKED, MIXED_SIZES):
        write_metadata(name, path)
    return path


@pytest.fixture
def mocked(data_dir):
    with tfds.testing.mock_data(num_examples=EXAMPLES, data_dir=data_dir):
        yield


def test_a_label_without_classes_is_no_classification(monkeypatch):
    info = SimpleNamespace(features={"image": None, "label": object()})
    monkeypatch.setattr(tfds, "builder", lambda *_, **__: SimpleNamespace(info=info))
    with pytest.raises(ValueError, match="^'lfw' is not an image-classification set"):
        load("lfw")


def test_a_tfds_set_larger_than_the_memory_is_refused(mocked, monkeypatch):
    asked = []
    monkeypatch.setattr(tfds_module, "check_memory", lambda *a: asked.append(a) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load("fashion_mnist")
    [(what, *sizes)] = asked
    assert sizes[1:] == [28, 28, 1] and what.startswith(f"{sizes[0]:,} images of 'fashion_mnist'")


@pytest.mark.parametrize("name", MOCKED)
def test_tfds_names(name, mocked):
    shape, num_classes = MOCKED[name]
    data = load(name)
    assert (data.images.shape, data.images.dtype) == ((EXAMPLES, *shape), np.uint8)
    assert (data.name, data.num_classes) == (name, num_classes)
    assert set(data.labels) <= set(range(num_classes)) and len(set(data.labels)) > 1
    assert load(name).fingerprint == data.fingerprint
    assert load(name, "test", size=12).images.shape == (EXAMPLES, 12, 12, shape[-1])
    wanted = list(dict.fromkeys(data.labels))[:2]
    some = load(name, classes=[data.class_names[wanted[0]], int(wanted[1])])
    assert some.class_names == tuple(data.class_names[k] for k in wanted)
    assert some.fingerprint == data.subset(wanted).fingerprint
    with pytest.raises(ValueError, match=r"has the splits test, train, not 'dev'"):
        load(name, "dev")


def test_tfds_images_of_many_sizes(mocked):
    side = load(MIXED_SIZES).images.shape[1]
    assert load(MIXED_SIZES).images.shape == (EXAMPLES, side, side, 3)
    assert load(MIXED_SIZES, size=20).images.shape == (EXAMPLES, 20, 20, 3)
    assert (load(MIXED_SIZES, size=20).labels == load(MIXED_SIZES).labels).all()
    data, _ = as_dataset(MIXED_SIZES)
    largest = max(size for size in (8, 16, 28, 32, 64, 128) if size <= side)
    assert data.image_shape[:2] == (largest, largest)


def test_tfds_class_without_image(data_dir):
    with pytest.raises(ValueError, match="no image"):
        load("numbered", "test[:1]", classes=range(4), data_dir=data_dir)


SPLITS = [("train[:10%]", 0, 4), ("train[5:10]", 5, 10), ("train[-3:]", 37, 40), ("train", 0, 40)]


@pytest.mark.parametrize(("split", "start", "end"), SPLITS, ids=[row[0] for row in SPLITS])
def test_tfds_split_syntax(split, start, end, data_dir):
    whole, part = load("numbered", data_dir=data_dir), load("numbered", split, data_dir=data_dir)
    assert sorted(whole.images[:, 0, 0, 0]) == list(range(40))
    assert (part.images == whole.images[start:end]).all()
    assert (part.labels == part.images[:, 0, 0, 0] % 5).all()


def test_tfds_file_cut_short_is_one_line(tmp_path):
    assert len(load("numbered", data_dir=tmp_path)) > 0
    for path in tmp_path.rglob("*.tfrecord*"):
        path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(OSError, match="cannot read 'numbered' in") as caught:
        load("numbered", data_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_tfds_classes_are_renumbered(data_dir):
    data = load("numbered", "test", classes=[3, "1"], data_dir=data_dir)
    assert sorted(zip(data.labels, data.images[:, 0, 0, 0])) == [(0, 53), (0, 58), (1, 51), (1, 56)]


FAILURES = [
    ConnectionError("HTTPSConnectionPool(host='x', port=443): Max retries with url: /a\nCaused by"),
    tfds.download.DownloadError("Failed to get url https://example.org\nand\nmore"),
    AssertionError("x" * 1000),
    OSError(),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: type(f).__name__)
def test_no_download(failure, tmp_path, monkeypatch):
    def no_network(self, **kwargs):
        raise failure

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", no_network)
    with pytest.raises(ConnectionError) as caught:
        load("cifar10", data_dir=str(tmp_path))
    line = str(caught.value)
    assert line.startswith("cannot download 'cifar10' (") and "\n" not in line and len(line) < 300
    assert "'digits'" in line and "data_dir" in line and "TFDS_DATA_DIR" in line
    result = CliRunner().invoke(main, ["data", "cifar10", "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stderr) == (2, f"acgan: {line}\n")


@few
@given(arrays("uint8", array_shapes(min_dims=1, max_dims=4)))
def test_bytes_survive_the_round_trip(pixels):
    floats = from_pixels(pixels)
    assert floats.dtype == np.float32 and np.abs(floats).max() <= 1
    assert (to_pixels(floats) == pixels).all() and to_pixels(floats).dtype == np.uint8


@few
@given(arrays("float32", array_shapes(max_dims=4), elements=st.floats(-1, 1, width=32)))
def test_floats_come_back_within_half_a_level(x):
    assert np.abs(from_pixels(to_pixels(x)) - x).max() <= 1 / 255 + 1e-6
    assert (to_pixels(3 * x) == to_pixels(np.clip(3 * x, -1, 1))).all()


NAMES = tuple("abcdefg")
some_labels = st.lists(st.integers(-1, len(NAMES) - 1), min_size=1, max_size=30)
some_classes = st.lists(st.sampled_from(range(len(NAMES))), unique=True, min_size=1)


def numbered(labels, names=NAMES):
    images = np.arange(len(labels), dtype="uint8")[:, None, None, None]
    return Dataset(images, labels, names)


@few
@given(some_labels, some_classes, st.data())
def test_subset_keeps_images_and_names(labels, classes, draw):
    data = numbered(np.array([*classes, *labels]))
    mixed = [draw.draw(st.sampled_from([c, np.int64(c), str(c), NAMES[c]])) for c in classes]
    assert class_ids(mixed, NAMES) == classes
    part = data.subset(mixed)
    assert part.class_names == tuple(NAMES[c] for c in classes)
    kept = part.images.ravel()
    assert list(kept) == [i for i, c in enumerate(data.labels) if c in classes]
    assert [part.class_names[c] for c in part.labels] == [NAMES[c] for c in data.labels[kept]]
    assert (part.class_counts == data.class_counts[classes]).all()
    assert part.subset(part.class_names).fingerprint == part.fingerprint


MANY = tuple(f"class number {k}" for k in range(1000))


@pytest.mark.parametrize("classes", [["cow"], ["cow" * 999], [*MANY, 0], MANY * 2, "".join(MANY)])
def test_errors_about_many_classes_are_short(classes):
    with pytest.raises(ValueError, match="class") as caught:
        class_ids(classes, MANY)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [3, np.int64(3), 0.5, None, "abc"], ids=repr)
def test_classes_are_a_list(classes):
    with pytest.raises(ValueError, match="classes must be a list of ids or names, got"):
        class_ids(classes, NAMES)


def stream(count, batch_size, steps, **keywords):
    data = numbered(np.arange(count), None)
    taken = list(islice(batches(data, batch_size, **keywords), steps))
    for images, labels in taken:
        assert images.dtype == np.uint8 and images.shape == (batch_size, 1, 1, 1)
        assert (images.ravel() == labels).all()
    return np.concatenate([labels for _, labels in taken])


@few
@given(st.integers(2, 25), st.integers(0, 2**31 - 1), st.integers(0, 40), st.data())
def test_order_is_a_function_of_seed_and_epoch(count, seed, start, draw):
    batch_size = draw.draw(st.integers(1, count))
    per_epoch = count // batch_size
    first, skipped = divmod(start, per_epoch)
    one_by_one = stream(count, 1, 2 * count, seed=seed, start_step=first * count).reshape(2, count)
    assert (np.sort(one_by_one, axis=1) == np.arange(count)).all()
    whole = one_by_one[:, : per_epoch * batch_size].reshape(-1, batch_size)[skipped : 2 * per_epoch]
    found = stream(count, batch_size, len(whole), seed=seed, start_step=start)
    assert (found == whole.ravel()).all()


def test_order_changes_with_seed_and_epoch():
    orders = [stream(25, 25, 2, seed=seed).reshape(2, 25) for seed in (0, 1, 2**31 - 1)]
    assert len({tuple(order) for order in np.concatenate(orders)}) == 6


def test_batches_are_bytes_and_data_is_not_copied():
    images = np.zeros((20, 4, 4, 3), "uint8")
    data = Dataset(images, np.arange(20) % 2)
    assert data.images is images
    pixels, labels = next(batches(data, 8))
    assert (pixels.dtype.name, pixels.shape) == ("uint8", (8, 4, 4, 3))
    assert labels.dtype.name == "int32"


IMAGES, LABELS = np.random.default_rng(0).integers(0, 256, (6, 4, 2, 1)).astype("uint8"), [0, 1] * 3
OTHER = IMAGES.copy()
OTHER[5, 3, 1, 0] ^= 1
CHANGES = {
    "one bit of one pixel": (OTHER, LABELS),
    "one label": (IMAGES, [0, 1, 0, 1, 0, 0]),
    "a label withheld": (IMAGES, [0, 1, 0, 1, 0, -1]),
    "shape": (IMAGES.reshape(6, 2, 4, 1), LABELS),
    "order": (IMAGES[::-1], LABELS),
    "one image fewer": (IMAGES[:5], LABELS[:5]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with(change):
    assert Dataset(*CHANGES[change]).fingerprint != Dataset(IMAGES, LABELS).fingerprint


def test_fingerprint_is_of_shape_pixels_and_labels_alone():
    written = b"(6, 4, 2, 1)" + IMAGES.tobytes() + np.array(LABELS, "<i8").tobytes()
    fortran, floats, column = np.asfortranarray(IMAGES), from_pixels(IMAGES), [[k] for k in LABELS]
    for images, labels in [(fortran, LABELS), (IMAGES[..., 0], np.int8(LABELS)), (floats, column)]:
        data = Dataset(images, labels, ["no", "yes"], "named")
        assert data.fingerprint == hashlib.sha256(written).hexdigest()


def test_size_may_be_chosen_by_what_the_images_are(tmp_path):
    "By their headers, as they will be seen: a photograph that lies on its side is turned first."
    asked = []

    def quarter(h, w):
        asked.append((h, w))
        return 5

    turned = Image.Exif()
    turned[0x0112] = 6
    for k in "xy":
        (tmp_path / k).mkdir()
        Image.new("RGB", (30, 20)).save(tmp_path / k / "0.jpg", exif=turned)
    assert load(tmp_path).images.shape == (2, 30, 20, 3)
    assert load(tmp_path, size=quarter).images.shape == (2, 5, 5, 3)
    Image.new("RGB", (50, 70)).save(tmp_path / "x" / "1.jpg")
    assert load(tmp_path).images.shape == (3, 20, 20, 3)
    assert load(tmp_path, size=quarter).images.shape == (3, 5, 5, 3)
    assert load("digits", size=quarter).images.shape[1:3] == (5, 5)
    assert load(tmp_path, size=np.int64(6)).images.shape == (3, 6, 6, 3)
    assert asked == [(30, 20), (20, 20), (8, 8)]


def test_a_folder_around_all_classes(tmp_path):
    write_images(tmp_path / "pets" / "all", ["cat", "dog"])
    with pytest.raises(ValueError, match="pets holds one folder of folders: pass .*all"):
        load(tmp_path / "pets")
    assert load(tmp_path / "pets" / "all").class_names == ("cat", "dog")
    write_images(tmp_path / "split" / "train" / "all", ["cat", "dog"])
    with pytest.raises(ValueError, match="train holds one folder of folders"):
        load(tmp_path / "split")
    write_images(tmp_path / "one", ["cat"])
    assert load(tmp_path / "one").class_names == ("cat",)
    write_images(tmp_path / "upper", ["Train", "Test"])
    with pytest.raises(ValueError, match="needs one sub-folder of images per class"):
        load(tmp_path / "upper")


def test_images_of_every_common_format_and_no_hidden_ones(tmp_path):
    write_images(tmp_path, ["a", "b"], count=1)
    for k, suffix in enumerate(("webp", "bmp", "gif", "tif", "jpeg")):
        Image.new("L", (8, 8), 9 * k).save(tmp_path / "a" / f"1.{suffix}")
    for hidden in (tmp_path / "a" / ".ipynb_checkpoints", tmp_path / "b" / "deeper" / ".cache"):
        hidden.mkdir(parents=True)
        Image.new("L", (8, 8)).save(hidden / "0.png")
    (tmp_path / "a" / "._0.png").write_bytes(b"left behind by another system")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    Image.new("L", (8, 8)).save(tmp_path / "b" / "deeper" / "0.png")
    assert load(tmp_path).class_counts.tolist() == [6, 2]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path, mode):
    image = Image.new("RGBA", (8, 8), (80, 80, 80, 255))
    image.paste((255, 0, 255, 0) if mode != "LA" else (7, 7, 7, 0), (0, 0, 4, 8))  # hidden colours
    if mode == "P":
        image = image.quantize(8)
    else:
        image = image.convert(mode)
    (tmp_path / "a").mkdir()
    image.save(tmp_path / "a" / "0.png")
    [found] = load(tmp_path).images
    assert found.shape == (8, 8, 1 if mode == "LA" else 3)
    assert (found[:, :4] == 255).all() and (np.abs(found[:, 4:].astype(int) - 80) < 3).all()


def test_only_folders_of_the_classes_asked_for_are_read(tmp_path):
    write_images(tmp_path, ["a", "b", "c"])
    (tmp_path / "b" / "0.png").write_bytes(b"damaged")
    for path in (tmp_path / "c").iterdir():
        path.unlink()
    found = load(tmp_path, classes=["a"])
    assert (found.class_names, found.class_counts.tolist()) == (("a",), [3])
    assert as_dataset(tmp_path, classes=[0])[0].class_names == ("a",)
    write_images(tmp_path / "more", ["x", "y", "z"])
    found = load(tmp_path / "more", classes=["z", "x"])
    assert found.class_names == ("z", "x")
    assert found.images[found.labels == 0].max() > found.images[found.labels == 1].max()


def test_class_names_may_be_an_array():
    assert Dataset(IMAGES, LABELS, np.array(["no", "yes"])).class_names == ("no", "yes")


def test_large_images_are_shrunk_as_they_are_read(tmp_path, monkeypatch):
    write_images(tmp_path / "a", "xy", size=150)
    kept = []
    monkeypatch.setattr(sources, "stack", lambda images: kept.extend(images) or stack(images))
    found, arch = as_dataset(tmp_path / "a")
    assert arch == "imagenet128" and len(kept) == 6 and {i.size for i in kept} == {(128, 128)}


def test_headers_are_read_once(tmp_path, monkeypatch):
    write_images(tmp_path / "a", "xy", size=8)
    seen = []
    monkeypatch.setattr(sources, "_size_in_header", lambda p: seen.append(p) or Image.open(p).size)
    assert as_dataset(tmp_path / "a")[1] == "digits" and len(seen) == 6


def test_all_classes_are_no_copy():
    whole = numbered([0, 1, 2, 0], "abc")
    assert whole.subset(range(3)) is whole and whole.subset([2, 1, 0]) is not whole
    partly = numbered([0, -1, 2, 1], "abc")
    assert len(partly.subset(range(3))) == 3


def test_channels_on_demand(tmp_path):
    write_images(tmp_path / "a", "xy")
    grey = load(tmp_path / "a", channels=1).images
    as_pillow = [Image.open(p).convert("L") for p in sorted((tmp_path / "a").rglob("*.png"))]
    assert np.array_equal(grey[..., 0], np.stack([np.asarray(i) for i in as_pillow]))
    assert load("digits", channels=3).images.shape[-1] == 3
    assert (load("digits", channels=3).images == load("digits").images).all()
    with pytest.raises(ValueError, match="channels must be"):
        load("digits", channels=2)


def test_a_folder_is_a_folder_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "digits", "ab", size=40)
    for spelled in ("./digits", "digits/", tmp_path / "digits"):
        data, arch = as_dataset(spelled)  # of no network's size: loaded again, resized
        assert (data.class_names, arch, len(data)) == (("a", "b"), "cifar10", 6)
        assert data.name == str(tmp_path / "digits")
    assert load("digits").class_names == tuple("0123456789")


def test_a_path_is_a_folder_even_if_it_has_the_name_of_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "digits", "ab")
    assert load(Path("digits")).class_names == load(Path("./digits")).class_names == ("a", "b")
    with pytest.raises(FileNotFoundError, match="no folder 'mnist'"):
        load(Path("mnist"))
    with pytest.raises(FileNotFoundError, match="no folder '~nobody.here'"):
        load("~nobody.here")


def test_no_image_is_left_out_unsaid(tmp_path):
    folder, elsewhere = write_images(tmp_path / "pets", ["cat", "dog"]), tmp_path / "elsewhere"
    write_images(elsewhere, ["more"], count=2)
    (folder / "cat" / "link").symlink_to(elsewhere)
    (folder / "cat" / "back").symlink_to(folder / "cat")
    (folder / "cat" / "all").symlink_to(folder)
    assert load(folder).class_counts.tolist() == [5, 3]
    (folder / "dog" / "new.HEIC").write_bytes(b"")
    with pytest.raises(ValueError, match="cannot read image .*new.HEIC: convert it to PNG or JPEG"):
        load(folder)
    (folder / "dog" / "new.HEIC").unlink()
    (folder / "bird").symlink_to(tmp_path / "drive")
    with pytest.raises(ValueError, match="bird is a link to what is not there"):
        load(folder)


def test_a_decimal_name_is_no_id(tmp_path):
    data = load(write_images(tmp_path, "1245"))
    assert data.subset(["2", 0]).class_names == ("2", "1")  # a name, and a number that is an id
    with pytest.raises(ValueError, match="no class '3'"):
        data.subset(["3"])


def test_a_turned_tiff_has_the_size_that_is_seen(tmp_path):
    (tmp_path / "a").mkdir()
    for turn, shape in ((1, (40, 60)), (6, (60, 40))):
        exif = Image.Exif()
        exif[0x0112] = turn
        Image.new("RGB", shape, (9, 99, 9)).save(tmp_path / "a" / f"{turn}.tiff", exif=exif)
    assert load(tmp_path).image_shape == (60, 40, 3)


def test_test_images_are_no_class(tmp_path):
    write_images(tmp_path / "test", ["cat", "dog"], count=2)
    write_images(tmp_path, ["cat", "dog"])
    assert load(tmp_path).class_names == ("cat", "dog")
    assert (len(load(tmp_path)), len(load(tmp_path, "test"))) == (6, 4)


def test_classes_may_be_called_train_and_test(tmp_path):
    write_images(tmp_path, ["bus", "car", "test", "train"])
    assert load(tmp_path).class_names == ("bus", "car", "test", "train")
    with pytest.raises(ValueError, match="has no sub-folder 'test' with one folder per class"):
        load(tmp_path, "test")
    shutil.rmtree(tmp_path / "bus")
    shutil.rmtree(tmp_path / "car")
    with pytest.raises(ValueError, match="needs one sub-folder of images per class"):
        load(tmp_path)


class InBatches(keras.utils.PyDataset):
    "Batches by number; `asked`: which were read; `alive`: most that were in memory at once."

    def __init__(self, data, size, kind=lambda images: images):
        super().__init__()
        self.data, self.size, self.kind = data, size, kind
        self.asked, self.handed_out, self.alive = [], [], 0

    def __len__(self):
        return -(-len(self.data) // self.size)

    def __getitem__(self, i):
        self.asked.append(i)
        rows = slice(i * self.size, (i + 1) * self.size)
        images = self.kind(self.data.images[rows].copy())
        self.handed_out.append(weakref.ref(images))
        self.alive = max(self.alive, sum(ref() is not None for ref in self.handed_out))
        return images, self.data.labels[rows]


def piped(images, labels, size):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(size)


COUNT = 23
ROWS = np.random.default_rng(1).integers(0, 256, (COUNT, 4, 2, 3)).astype("uint8")
STREAMED = Dataset(ROWS, [-1, *np.arange(COUNT - 1) % 3], ["a", "b", "c"])


@pytest.mark.parametrize("of", ["PyDataset", "tf.data"])
@pytest.mark.parametrize("kind", [np.asarray, from_pixels], ids=["bytes", "floats"])
def test_stream_gives_the_batches_of_the_arrays(of, kind):
    images, labels = STREAMED.images, STREAMED.labels
    source = InBatches(STREAMED, 5, kind) if of == "PyDataset" else piped(kind(images), labels, 5)
    assert is_streamable(source)
    stream = Stream(source, STREAMED.class_names, "rows")
    assert (stream.name, stream.class_names, stream.num_classes) == ("rows", ("a", "b", "c"), 3)
    assert (len(stream), stream.batch_size, stream.steps_per_epoch) == (20, 5, 4)
    assert stream.image_shape == STREAMED.image_shape == (4, 2, 3)
    assert stream.class_counts.tolist() == STREAMED.class_counts.tolist()
    taken = list(islice(stream.batches(seed=3), 8))
    for found, classes in taken:
        assert (found.dtype, classes.dtype) == (np.uint8, np.int32)
    numbers = [next(i for i in range(4) if (x == images[5 * i : 5 * i + 5]).all()) for x, _ in taken]
    if of == "PyDataset":
        wanted = [np.random.default_rng((3, epoch)).permutation(4) for epoch in (0, 1)]
        assert numbers == np.concatenate(wanted).tolist()
    else:
        assert numbers == [0, 1, 2, 3] * 2
    for i, (_, classes) in zip(numbers, taken):
        assert (classes == labels[5 * i : 5 * i + 5]).all()


@pytest.mark.parametrize("of", ["PyDataset", "tf.data"])
def test_stream_is_resumed_at_any_step(of):
    data = numbered(np.arange(COUNT) % 7)
    source = InBatches(data, 5) if of == "PyDataset" else piped(data.images, data.labels, 5)
    stream = Stream(source)
    whole = [images.ravel().tolist() for images, _ in islice(stream.batches(seed=1), 12)]
    for start in range(12):
        rest = islice(stream.batches(seed=1, start_step=start), 12 - start)
        assert [images.ravel().tolist() for images, _ in rest] == whole[start:]
    if of == "PyDataset":
        other = [images.ravel().tolist() for images, _ in islice(stream.batches(seed=2), 12)]
        assert other != whole and whole[:4] != whole[4:8]


def test_stream_is_not_collected():
    source = InBatches(STREAMED, 1)
    stream = Stream(source)
    assert source.alive <= 2 and source.asked == list(range(COUNT))
    source.asked.clear()
    taken = stream.batches(seed=0, start_step=2 * COUNT + 5)
    for i in range(1, 40):
        next(taken)
        assert len(source.asked) == i  # nothing is read ahead
    assert source.alive <= 2
    taken.close()
    source.asked.clear()
    source.alive = 0
    stream.sample(3)
    assert source.asked == list(range(COUNT)) and source.alive <= 2


def test_stream_of_other_order_has_the_same_fingerprint():
    images, labels, order = ROWS, STREAMED.labels, np.random.default_rng(0).permutation(COUNT)
    same = [piped(images[order], labels[order], 5), piped(images, labels, 7), InBatches(STREAMED, 4)]
    same += [piped(from_pixels(images), labels.astype("int8")[:, None], COUNT)]
    [fingerprint] = {Stream(source).fingerprint for source in same}
    assert len(fingerprint) == 64 and set(fingerprint) <= set("0123456789abcdef")
    changed = [(images, np.roll(labels, 1)), (images[1:], labels[1:]), (images ^ 1, labels)]
    changed += [(images.reshape(COUNT, 2, 4, 3), labels)]
    assert len({fingerprint, *(Stream(piped(*rows, 5)).fingerprint for rows in changed)}) == 5


def test_sample_of_a_stream():
    labelled = {x.tobytes(): k for x, k in zip(ROWS, STREAMED.labels) if k >= 0}
    for source in (InBatches(STREAMED, 5), piped(ROWS, STREAMED.labels, 5)):
        some = Stream(source, "xyz", "rows").sample(7)
        assert (some.name, some.class_names, len(some)) == ("rows", ("x", "y", "z"), 7)
        assert all(labelled[x.tobytes()] == k for x, k in zip(some.images, some.labels))
        assert len(Stream(source).sample(1000)) == len(labelled)
        assert Stream(source, "xyz", "rows").sample(6).images.tobytes() == some.images[:6].tobytes()
    with pytest.raises(ValueError, match="count must be a whole number at least 1, got 0"):
        Stream(source).sample(0)


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, i):
        return ROWS, STREAMED.labels


PIPE = piped(ROWS, STREAMED.labels, 5)
REFUSED = {
    "arrays": (ROWS, None, "tf.data.Dataset or a keras.utils.PyDataset of batches, got ndarray"),
    "endless pipeline": (PIPE.repeat(), None, "never ends"),
    "endless PyDataset": (Endless(), None, "never ends"),
    "PyDataset without a length": (keras.utils.PyDataset(), None, "it needs a length"),
    "no batch": (PIPE.take(0), None, "has no batch"),
    "not batched": (PIPE.unbatch(), None, "batch 0: .*not batched"),
    "no labels": (PIPE.map(lambda x, y: x), None, r"batch 0: .*\(images, labels\)"),
    "three parts": (PIPE.map(lambda x, y: (x, y, y)), None, r"batch 0: .*\(images, labels\)"),
    "sizes": (PIPE.concatenate(PIPE), None, r"batch 5: .*\(5, 4, 2, 3\), got \(5, 4, 2, 3\) after"),
    "larger": (PIPE.take(2).concatenate(PIPE.unbatch().batch(6)), None, r"batch 2: .*got \(6, "),
    "shapes": (PIPE.take(1).concatenate(PIPE.map(lambda x, y: (x[:, :3], y))), None, "batch 1: "),
    "label": (PIPE, ["a", "b"], "batch 0: label 2 is out of range: 0..1"),
    "late label": (PIPE.map(lambda x, y: (x, y - 1)), None, "batch 0: label -2 is out of range"),
    "range": (PIPE.map(lambda x, y: (tf.cast(x, tf.float32), y)), None, r"batch 0: .*\[-1, 1\]"),
    "names": (PIPE, ["a", "b", "a"], "class_names must differ, 'a' is there twice"),
    "no label": (PIPE.map(lambda x, y: (x, 0 * y - 1)), None, "there is no labelled image"),
}


@pytest.mark.parametrize("source, names, line", REFUSED.values(), ids=REFUSED)
def test_stream_refused(source, names, line):
    with pytest.raises(ValueError, match=line) as caught:
        Stream(source, names)
    assert "\n" not in str(caught.value)


def test_class_names_of_a_stream_may_be_an_array():
    assert Stream(PIPE, np.array(["a", "b", "c"])).class_names == ("a", "b", "c")


def test_a_source_that_can_be_read_once_only_is_one_line():
    once = iter([(ROWS[:5], STREAMED.labels[:5]), (ROWS[5:10], STREAMED.labels[5:10])])
    spec = tf.TensorSpec((5, 4, 2, 3), tf.uint8), tf.TensorSpec((5,), tf.int64)
    stream = Stream(tf.data.Dataset.from_generator(lambda: once, output_signature=spec), name="once")
    with pytest.raises(ValueError, match="'once' had 2 full batches at first, now 0"):
        next(stream.batches())
