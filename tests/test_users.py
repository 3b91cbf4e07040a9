"What real users bring: folders of others, links, full disks, damaged side files, strange names."

import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny  # noqa: F401  # an architecture of the package then
from click.testing import CliRunner
from folders import write_images
from PIL import Image

from acgan_nb import callbacks, cli, cluster, evaluation, judges, metrics, plan, plots, runs, sampling, storage, sweeps, tables, train, trials
from acgan_nb import data as data_module
from acgan_nb import loop as loop_module
from acgan_nb import sources as sources_module
from acgan_nb import tfds as tfds_module
from acgan_nb.cli import main
from acgan_nb.data import Dataset, image_grid, load, save_images
from acgan_nb.directory import RunDirectory, new_history
from acgan_nb.evaluation import gan_train
from acgan_nb.gan import ACGAN
from acgan_nb.judges import Recipe, judge_for, load_judge, save_judge
from acgan_nb.monitor import CollapseWarning
from acgan_nb.models import build_discriminator, build_generator
from acgan_nb.plan import as_dataset, check_fit
from acgan_nb.tables import compare
from acgan_nb.report import save_report, what_was_run
from acgan_nb.runs import export_run, load_run
from acgan_nb.stream import Stream
from acgan_nb.train import fit, load_pretrained

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype("uint8")
LABELS = np.arange(40) % 4
DATA = PIXELS, LABELS
FEW = dict(steps=2, batch_size=20, verbose=False)
pytestmark = pytest.mark.usefixtures("without_graphs")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit(DATA, outdir=tmp_path_factory.mktemp("users") / "run", **FEW)


@pytest.fixture
def outdir(run, tmp_path):
    "A copy of a finished run."
    return Path(shutil.copytree(run.outdir, tmp_path / "run"))


def contents(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def line(call, error=ValueError):
    "The one line with which a call is refused."
    with pytest.raises(Exception) as caught:
        call()
    text = str(caught.value)
    assert isinstance(caught.value, error) and "\n" not in text and len(text) < 300, repr(caught.value)
    return text


# --- A: files of others ---

FOREIGN = {
    "config.json": '{"model_type": "bert"}',
    "checkpoint": "of another program",
    "generator.weights": "w",
    "best.weights": "w",
    "history.csv": "date,price\n",
    "samples.gif": "GIF89a",
    "report.html": "<p>mine",
    "samples/step_000000.png": "mine",
    "judge.json": "{}",
}


@pytest.mark.parametrize("names", [[*FOREIGN], *([name] for name in FOREIGN)], ids=len)
@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(names, resume, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(FOREIGN[name])
    before = contents(tmp_path)
    said = line(lambda: fit(DATA, outdir=tmp_path, resume=resume, **FEW))
    assert "that is no run's; choose another outdir" in said and "resume" not in said
    assert contents(tmp_path) == before and not (tmp_path / ".lock").exists()


def test_a_folder_of_somebody_else_is_not_exported_to(run, tmp_path):
    (tmp_path / "history.csv").write_text("mine")
    assert "history.csv that is no run's" in line(lambda: export_run(run, tmp_path))
    assert contents(tmp_path) == {tmp_path / "history.csv": b"mine"}


@pytest.mark.parametrize("lost", ["config.json", "checkpoint checkpoint.previous", "samples.gif"])
def test_a_run_that_lost_files_is_still_a_run(lost, outdir):
    for name in lost.split():
        (outdir / name).unlink()
    (outdir / "notes.txt").write_text("mine")
    directory = RunDirectory(outdir)
    directory.prepare()
    directory.clear()
    assert set(contents(outdir)) - {outdir / ".lock"} == {outdir / "notes.txt"}


def test_a_run_written_before_is_recognised(outdir):
    "Of an earlier version, which knew fewer settings, or a later one, which knows more."
    for name in ("checkpoint", "checkpoint.previous", "generator.weights"):
        (outdir / name).unlink()
    config = json.loads((outdir / "config.json").read_text())
    for change in ({"of_tomorrow": 1}, {}):
        (outdir / "config.json").write_text(json.dumps(config | change))
        assert storage.holds_run(outdir)
    del config["class_head"]
    (outdir / "config.json").write_text(json.dumps(config))
    assert storage.holds_run(outdir)


@pytest.mark.parametrize("name", [".lock", "samples", "config.json", "history.csv", "anything"])
def test_no_link_of_a_run_directory_is_followed(name, outdir, tmp_path):
    target = tmp_path / "target"
    target.mkdir() if name == "samples" else target.write_text("mine")
    shutil.rmtree(outdir / name) if name == "samples" else (outdir / name).unlink(missing_ok=True)
    (outdir / name).symlink_to(target)
    before = contents(tmp_path)
    assert "is a symbolic link" in line(lambda: fit(DATA, outdir=outdir, **FEW))
    assert contents(tmp_path) == before


def test_a_lock_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / ".lock").write_text("mine")
    assert ".lock" in line(lambda: fit(DATA, outdir=tmp_path, **FEW))
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a symbolic link"), storage.locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_temporary_names_cannot_be_foreseen_and_two_writers_do_not_meet(tmp_path):
    for name in (".note.tmp", ".probe"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with storage.replacing(tmp_path / "note") as first, storage.replacing(tmp_path / "note") as second:
        first.write(b"1")
        second.write(b"2")
    assert (tmp_path / "note").read_bytes() == b"1" and not (tmp_path / "elsewhere").exists()
    RunDirectory(tmp_path / "run").prepare()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".note.tmp", ".probe", "note", "run"]


def test_what_a_killed_process_left_is_tidied_up(outdir):
    for folder in (outdir, outdir / "samples"):
        (folder / ".acgan-0123456789abcdef.tmp").write_text("half of a checkpoint")
        (folder / ".mine.tmp").touch()
    with RunDirectory(outdir).lock():
        assert {p.name for p in outdir.rglob(".*")} == {".lock", ".mine.tmp"}


def test_a_trial_that_is_a_link_or_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "seed=0").symlink_to(tmp_path / "target")
    grid = [{"seed": 0}, {"seed": 1}]
    assert "seed=0 is a symbolic link" in line(lambda: sweeps.sweep(DATA, grid, tmp_path / "out", batch_size=20))
    (tmp_path / "out" / "seed=0").unlink()
    (tmp_path / "out" / "seed=1").mkdir()
    (tmp_path / "out" / "seed=1" / "history.csv").touch()
    assert "history.csv that is no run's" in line(lambda: sweeps.sweep(DATA, grid, tmp_path / "out", batch_size=20))
    assert not list((tmp_path / "target").iterdir()) and len(list((tmp_path / "out").iterdir())) == 1
    folder = trials.run_folder(tmp_path, "a", 0)
    folder.symlink_to(tmp_path / "target")
    options = dict(seeds=[0], samples=2000, verbose=False)
    assert "is a symbolic link" in line(lambda: trials.run_trials("digits", {"a": {}}, tmp_path, **options))


def test_a_record_does_not_replace_files_of_others(tmp_path):
    rows = [{"trial": "paper", "seed": 0, "steps": 9, "seconds": 2.5}]
    where = storage.results_folder("digits")
    for name, text in {"config.json": '{"model_type": "bert"}', "table.csv": "mine"}.items():
        (tmp_path / name).write_text(text)
        assert f"{name} that is no record's" in line(lambda: trials.write_record(tmp_path, rows, where))
        assert (tmp_path / name).read_text() == text
        (tmp_path / name).unlink()
    trials.write_record(tmp_path, rows, where)
    trials.write_record(tmp_path, rows, where)


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    images = PIXELS[:4]
    save_images(images, [0] * 4, tmp_path / "grid.png")
    save_images(images, [0] * 4, tmp_path / "folder")
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for out in ("grid.png", "folder"):
        said = line(lambda: save_images(255 - images, [0] * 4, tmp_path / out), OSError)
        assert "cannot write" in said and "No space left" in said
    assert contents(tmp_path) == before


# --- B: what is black and what is white ---


def save_deep(folder, values, dtype="uint16", names="ab", end="png"):
    "A folder of two classes, an image each, with the first and second half of the values."
    for name, part in zip(names, np.split(np.asarray(values, dtype), 2)):
        (folder / name).mkdir(parents=True)
        Image.fromarray(part.reshape(2, -1)).save(folder / name / f"0.{end}")
    return folder


RAMP = np.arange(16) / 15
DEEP = {  # numbers from black to white, as they are in files; the way they are saved; black, white
    "16 bits": (RAMP * 65535, "uint16", "png", "0, white is 65535"),
    "8 of 16 bits": (RAMP * 255, "uint16", "png", "0, white is 255"),
    "32 bits": (RAMP * 255, "int32", "tif", "0, white is 255"),
    "floats in [0, 1]": (RAMP, "float32", "tif", "0, white is 1"),
    "floats in [-1, 1]": (RAMP * 2 - 1, "float32", "tif", "-1, white is 1"),
    "floats in 0..255": (RAMP * 255, "float32", "tif", "0, white is 255"),
}


@pytest.mark.parametrize("kind", DEEP)
def test_images_of_more_than_8_bits(kind, tmp_path):
    values, dtype, end, said = DEEP[kind]
    save_deep(tmp_path, values, dtype, end=end)
    with pytest.warns(UserWarning, match=f"black is {said} .value_range says otherwise"):
        images = load(tmp_path).images
    assert images.shape == (2, 2, 4, 1)
    assert abs(images.ravel() - np.rint(RAMP * 255)).max() <= 1


@pytest.mark.parametrize(("values", "dtype", "end"), [
    (RAMP * 4095, "uint16", "png"), (np.arange(16) % 2, "uint16", "png"), (RAMP - 5, "float32", "tif"),
    (RAMP * 70000, "int32", "tif"), (RAMP * 3, "float32", "tif")])  # fmt: skip
def test_images_of_more_than_8_bits_that_may_mean_two_things(values, dtype, end, tmp_path):
    save_deep(tmp_path, values, dtype, end=end)
    assert "say what is black and what is white" in line(lambda: load(tmp_path))
    low, high = float(np.min(values)), float(np.max(values))
    images = load(tmp_path, value_range=(low, high)).images
    assert (images.min(), images.max()) == (0, 255)
    assert "does not" in line(lambda: load(tmp_path, value_range=(low, 0.1 * low + 0.9 * high)))


def test_training_and_test_images_are_read_alike(tmp_path):
    "The test images alone would be too dark to tell."
    save_deep(tmp_path / "train", RAMP * 65535)
    save_deep(tmp_path / "test", RAMP * 4095)
    with pytest.warns(UserWarning, match="white is 65535"):
        assert load(tmp_path, "test", classes=["a"]).images.max() <= 15


def test_masks_of_zeros_and_ones_are_seen_with_a_value_range(tmp_path):
    save_deep(tmp_path, np.arange(128) % 2, "uint8")
    assert "hold 0 and 1 alone" in line(lambda: as_dataset(tmp_path, size=8))
    assert load(tmp_path, value_range=(0, 1)).images.max() == 255
    data, _ = as_dataset((PIXELS > 99, LABELS), value_range=(0, 1))
    assert set(np.unique(data.images)) == {0, 255}


# --- C: inputs as people have them ---


def tensors():
    import tensorflow as tf

    yield [list(map(list, image)) for image in PIXELS], LABELS.tolist()
    yield PIXELS.astype("int64"), LABELS.astype("float64")
    yield PIXELS.astype("uint16"), np.eye(4)[LABELS]
    yield tf.constant(PIXELS), tf.one_hot(LABELS, 4)
    yield np.moveaxis(PIXELS, 3, 1), LABELS[:, None]
    yield PIXELS / 255.0, LABELS.astype("int8")
    yield Torch(PIXELS), Torch(LABELS)
    yield Frame(PIXELS), Frame(LABELS.astype(object))


class Frame:
    "What has nothing but NumPy's protocol, as a data frame."

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def cpu(self):
        return self


class Torch(Frame):
    "A tensor with a gradient, which must be detached first."

    def detach(self):
        return Frame(self.values)

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad")


def test_images_and_labels_as_people_have_them():
    wanted = Dataset(PIXELS, LABELS)
    for images, labels in tensors():
        value_range = (0, 1) if getattr(images, "dtype", None) == np.float64 else None
        data = Dataset(images, labels, value_range=value_range)
        assert data.fingerprint == wanted.fingerprint and data.class_names == tuple("0123")
    words = np.array(["dog", "cat", "emu", "ape"])[LABELS]
    for labels in (words, words.tolist(), words.astype(object), words.astype("S3"), words[:, None]):
        data = Dataset(PIXELS, labels)
        assert data.class_names == ("ape", "cat", "dog", "emu")
        assert [data.class_names[k] for k in data.labels] == words.tolist()


def test_size_and_classes_of_arrays():
    images = np.random.default_rng(0).integers(0, 256, (40, 10, 12, 1)).astype("uint8")
    data, arch = as_dataset((images, LABELS), size=8, classes=[3, "1"])
    assert (data.images.shape, data.class_names, arch) == ((20, 8, 8, 1), ("3", "1"), "digits")


def test_a_size_that_no_network_has_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("acgan_nb.plan.load", lambda *_, **__: pytest.fail("read"))
    assert "the nearest size is 8x1024" in line(lambda: as_dataset("digits", size="6x2000"))
    assert "size must be that of arch mnist" in line(lambda: as_dataset("digits", "mnist", size=64))


def test_samples_by_name_and_short_texts(run):
    named = dataclasses.replace(run, config={**run.config, "class_names": ["ape", "cat", "dog", "7"]})
    assert (named.sample("cat", count=2) == run.sample(1, count=2)).all()
    assert (named.sample(["dog", "ape", "7"]) == run.sample([2, 0, 3])).all()
    assert (named.sample(["dog", 0, np.int64(3)]) == run.sample([2, 0, 3])).all()
    assert "no class 'cow': ids are 0..3, names ape, cat, dog, 7" in line(lambda: named.sample("cow", 2))
    assert len(repr(run)) < 200 and "arch digits, step 2, 4 classes" in repr(run)
    for thing in (run, Dataset(*DATA)):
        assert re.fullmatch(r"<p><code>.*</code></p><img alt=.* src=.data:image/png;base64,.*", thing._repr_html_())


def test_many_classes_take_no_time():
    names = [f"class {i}" for i in range(30_000)]
    began = time.process_time()
    data = Dataset(np.zeros((30_000, 1, 1), "uint8"), np.arange(30_000), names)
    data.subset(names[::-1])
    assert time.process_time() - began < 10


# --- D: interruptions ---


def test_a_terminal_that_is_closed_saves_as_sigterm_does(monkeypatch):
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with train.noting_signals() as caught:
            signal.raise_signal(signal.SIGHUP)
        assert caught == [signal.SIGHUP] and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with train.noting_signals() as caught:
            signal.raise_signal(signal.SIGHUP)
        assert caught == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_bar_that_cannot_be_drawn_does_not_end_training(monkeypatch):
    def gone(count):
        raise OSError(5, "Input/output error")

    bar = SimpleNamespace(update=gone, disable=False)
    monkeypatch.setattr(callbacks, "step_of", lambda gan: 1)
    progress = callbacks.ProgressBar(bar)
    progress.on_train_begin()
    progress.on_train_batch_end(0, {})
    assert bar.disable


def acgan(command, code=2):
    "What a command line prints on stderr, where it ends with this exit code."
    done = CliRunner().invoke(main, shlex.split(command))
    assert done.exit_code == code and isinstance(done.exception, SystemExit), (done, done.exception)
    assert done.stderr.count("\n") <= 1 and "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def evaluated(outdir, monkeypatch):
    "A run whose evaluation takes no time, and is saved as a file."
    report = json.loads((storage.results_folder("digits") / "report.json").read_text())
    monkeypatch.setattr("acgan_nb.runs.run_data", lambda *_, **__: Dataset(*DATA))
    monkeypatch.setattr("acgan_nb.evaluation.evaluate", lambda *_, **__: report)
    monkeypatch.setattr(
        "acgan_nb.report.save_report", lambda run, *_: (run.outdir / "report.json").write_text("{}"))
    return outdir


def test_a_report_is_saved_before_it_is_printed(evaluated, monkeypatch):
    def broken(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "say", broken)
    done = CliRunner().invoke(main, ["evaluate", str(evaluated)])
    assert (done.exit_code, done.stderr) == (1, "") and (evaluated / "report.json").exists()


@pytest.mark.parametrize("command", ["evaluate", "sweep digits -g seed=0 --outdir"])
def test_an_interruption_says_what_is_kept(command, evaluated, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("acgan_nb.evaluation.evaluate", interrupted)
    monkeypatch.setattr(sweeps, "sweep", interrupted)
    said = acgan(f"{command} {evaluated}", code=130)
    assert said.startswith("acgan: interrupted; ") and ("report" in said or "goes on from there" in said)


# --- E: damaged side files ---


def test_pictures_that_cannot_be_read_are_left_out_of_the_animation(outdir):
    directory, samples = RunDirectory(outdir), outdir / "samples"
    good = (samples / "step_000000.png").read_bytes()
    Image.new("1", (70_000, 1)).save(samples / "step_000003.png")
    for step, content in {4: b"", 5: good[:99]}.items():
        (samples / f"step_{step:06d}.png").write_bytes(content)
    with pytest.warns(UserWarning, match="left out of the animation") as caught:
        directory.write_film()
    assert len(caught) == 3
    with Image.open(directory.film_path) as film:
        assert film.n_frames == 2


HISTORIES = ["step\n1\n", "{0}\n{inf}\n", "{0}\n{minus}\n", "{0}\n{high}\n{1}\n", "", "a,b\n"]


@pytest.mark.parametrize("text", HISTORIES)
def test_a_history_that_cannot_be(text, outdir):
    header = (outdir / "history.csv").read_text().partition("\n")[0]
    rows = {name: ",".join([value] * len(header.split(","))) for name, value in
            {"inf": "1e400", "minus": "-1", "high": "9", "one": "1"}.items()}  # fmt: skip
    (outdir / "history.csv").write_text(text.format(header, rows["one"], **rows))
    assert "history.csv is damaged" in line(RunDirectory(outdir).read_history)


@pytest.mark.parametrize("cut", [1, 3, 40])
def test_a_line_of_the_history_that_was_being_written_is_left_out(cut, outdir):
    path, whole = outdir / "history.csv", RunDirectory(outdir).read_history()
    path.write_text(path.read_text() + path.read_text().splitlines()[-1].replace("2,", "3,", 1)[:-cut])
    np.testing.assert_equal(load_run(outdir).history, whole)


NOTES = [0, [], {}, "x", {"every": 1}, {"every": 1e400, "judge": "j", "frechet_floor": 1, "ms_ssim_limit": 1}]


@pytest.mark.parametrize("notes", NOTES)
def test_notes_about_evaluations_that_cannot_be(notes, outdir):
    config = json.loads((outdir / "config.json").read_text()) | {"evaluation": notes}
    (outdir / "config.json").write_text(json.dumps(config))
    assert "config.json is damaged" in line(RunDirectory(outdir).read_config)


REPORTS = ["null", "7", '"x"', "[1]", "[" * 99_999, "{}", '{"generated": 1}', "changed"]


@pytest.mark.parametrize("text", REPORTS)
def test_a_report_that_is_none(text, tmp_path):
    report = json.loads((storage.results_folder("digits") / "report.json").read_text())
    report["generated"]["gan_test"] = "a text"
    (tmp_path / "report.json").write_text(json.dumps(report) if text == "changed" else text)
    assert "report.json is damaged" in line(lambda: compare([tmp_path]))
    RunDirectory(tmp_path).reports()


WEIGHTS = {"complex": "complex64", "structured": [("a", "f4")], "texts": "U1"}


@pytest.mark.parametrize("kind", [*WEIGHTS, "encrypted", "step"])
def test_weights_that_are_no_numbers(kind, outdir, run):
    path = outdir / "best.weights"
    if kind == "step":
        storage.save_variables(path, run.generator.weights, step=np.array([1.5]))
    else:
        with open(path, "w+b") as file:
            arrays = [w.astype(WEIGHTS.get(kind, "f4")) for w in run.generator.get_weights()]
            np.savez(file, **{f"{i:04d}": array for i, array in enumerate(arrays)})
            if kind == "encrypted":
                at = file.seek(0) or file.read().index(b"PK\1\2")
                for position in (6, at + 8):
                    file.seek(position)
                    file.write(b"\1\0")
            storage.seal(file)
    assert "best.weights" in line(lambda: load_run(outdir, best=True))


# --- F: hangs and sizes ---


@pytest.mark.parametrize("name", ["history.csv", "checkpoint", "report.json", "judge.json", "best.weights"])
def test_a_pipe_does_not_block(name, outdir):
    (outdir / name).unlink(missing_ok=True)
    os.mkfifo(outdir / name)
    call = {
        "report.json": lambda: compare([outdir]),
        "judge.json": lambda: load_judge("judge", outdir),
        "best.weights": lambda: load_run(outdir, best=True),
        "history.csv": lambda: RunDirectory(outdir).read_history(),  # `load_run` has the checkpoint's
    }.get(name, lambda: load_run(outdir))
    (outdir / "checkpoint.previous").unlink()
    assert "not a regular file" in line(call)


def test_an_image_that_is_a_pipe_does_not_block(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "0.png")
    assert "0.png: it is not a regular file" in line(lambda: load(tmp_path))


HUGE = {
    f"train digits --steps {10**30}": "steps must be a whole number at least 1 and below 2147483648",
    f"train digits --epochs {10**9}": "steps must be",
    "data digits --size 100000": "size must be",
    "sample RUN --count 1000000000": "count must be",
    "sample RUN --columns 1000000000": "columns must be",
    f"evaluate RUN --gan-train-samples {10**12}": "gan_train_samples must be",
}


@pytest.mark.parametrize("command", HUGE)
def test_absurd_sizes(command, outdir):
    assert HUGE[command] in acgan(command.replace("RUN", str(outdir)))


def test_what_does_not_fit_is_refused_before_memory_is_asked_for(run, tmp_path, monkeypatch):
    assert "so many samples would take" in line(lambda: run.sample(1, count=10**12))
    assert "the grid would take" in line(lambda: image_grid(PIXELS, columns=10**12))
    save_deep(tmp_path, np.arange(16), "uint8")
    monkeypatch.setattr(os, "sysconf", lambda name: 64)
    assert "2 images of 4096x4096 would take" in line(lambda: load(tmp_path, size=4096))
    monkeypatch.setattr(os, "sysconf", lambda name: 4)
    assert re.match(r"2 images of \d+x\d+ would take", line(lambda: load(tmp_path)))  # in their own size


# --- G: names from strangers ---


def test_names_are_no_mathematics():
    names = ["$x_{", r"$\frac$", "$5 bills$", "a_b^c"]
    config = {"class_names": names}
    for figure in (
        plots.similar_pairs(PIXELS, LABELS, names, pairs=3),
        plots.diversity([0.1] * 4, [0.2] * 4, names),
        plots.joint([0.1] * 4, [0.2] * 4, 0.3, names),
        plots.plot_trials([{"trial": name, "x": 1.0} for name in names], {"x": "x"}),
        plots.real_and_generated(Dataset(*DATA, names), SimpleNamespace(
            config=config, sample=lambda labels, seed: PIXELS[labels])),
    ):  # fmt: skip
        figure.savefig(io.BytesIO(), dpi=20)


def test_names_that_are_no_text(tmp_path):
    for name in (b"caf\xe9", b"caf\xe8"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        folder.mkdir()
        Image.fromarray(PIXELS[0, ..., 0]).save(folder / "0.png")
    data = load(tmp_path)
    assert data.class_names == ("caf\\xe8", "caf\\xe9")
    assert load(tmp_path, classes=data.class_names[::-1]).class_names == data.class_names[::-1]
    json.dumps(data.class_names).encode()


def test_a_name_does_not_speak_to_the_terminal(tmp_path):
    save_deep(tmp_path, np.arange(16), "uint8", names=["\x1b[31mred", "b\rc"])
    done = CliRunner().invoke(main, ["data", str(tmp_path)])
    assert done.exit_code == 0 and "\\x1b[31mred" in done.stdout
    assert "\x1b" not in done.stdout and "\r" not in done.stdout


# --- H: other settings ---


@pytest.mark.parametrize(("key", "value"), [("image_data_format", "channels_first"), ("floatx", "float16")])
def test_settings_of_keras_that_change_everything(key, value):
    right = getattr(keras.config, key)()
    try:
        getattr(keras.config, f"set_{key}")(value)
        for build in (build_generator, build_discriminator):
            assert f"this needs {key}" in line(lambda: build("digits"))  # noqa: B023
        assert f"this needs {key}" in line(lambda: load_judge("digits"))
    finally:
        getattr(keras.config, f"set_{key}")(right)


@pytest.mark.parametrize("backend", ["numpy", "torch", "tensorflow", "jax"])
def test_a_backend_that_will_not_do_is_one_line(backend, tmp_path):
    block = {"tensorflow": "tensorflow", "jax": "jax"}.get(backend, "no_module")
    code = f"import sys; sys.modules[{block!r}] = None\nfrom acgan_nb.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "train", "digits"], cwd=tmp_path, text=True,
                          capture_output=True, env={**os.environ, "KERAS_BACKEND": backend})
    said = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and said.startswith("acgan: "), done.stderr
    assert "KERAS_BACKEND=" in said and not list(tmp_path.iterdir())


# --- I: quiet nonsense ---


def test_a_generator_of_nan_is_refused(run):
    spoiled = keras.models.clone_model(run.generator)
    spoiled.set_weights([np.full(w.shape, np.nan) for w in run.generator.get_weights()])
    run = dataclasses.replace(run, generator=spoiled)
    assert "its weights are spoiled" in line(lambda: run.sample(1, count=2))


def test_gan_train_on_no_image_of_a_class_warns():
    data = load("digits", "test")
    some = Dataset(data.images[data.labels != 3], data.labels[data.labels != 3], data.class_names)
    with pytest.warns(UserWarning, match="GAN-train on no image of class '3'"):
        gan_train(lambda seed: some, data, seeds=1, steps=1)


def test_a_split_without_a_class_is_named(tmp_path):
    save_deep(tmp_path / "train", np.arange(16), "uint8")
    save_deep(tmp_path / "test", np.arange(16), "uint8", names="ac")
    assert "test: no class 'b'" in line(lambda: load(tmp_path, "test", classes=["a", "b"]))


# --- J ---


def test_classes_in_a_grid_are_one_line():
    assert "classes must be a list" in acgan("sweep digits -g classes=0,1 --outdir nowhere")
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("module", ["acgan_nb", "acgan_nb.cli"])
def test_the_command_line_is_a_module_too(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "Usage: acgan [OPTIONS]" in done.stdout


def test_both_backends_of_a_run_are_remembered(outdir):
    config = json.loads((outdir / "config.json").read_text())
    other = {"tensorflow": "jax", "jax": "tensorflow"}[keras.backend.backend()]
    checkpoint = RunDirectory(outdir).find_checkpoint()
    about = dict(config=config, history=checkpoint.history, step=2, seconds=1.0)
    about["config"]["versions"][other] = "0.1"
    storage.save_variables(outdir / "checkpoint", [], about=np.frombuffer(json.dumps(about).encode(), "uint8"))
    plan = check_fit(DATA, outdir=outdir, steps=4, batch_size=20)
    assert train.Training(plan).config["versions"].keys() >= {"jax", "tensorflow"}


# --- what a careful reader of the source found ---


def test_the_old_run_stays_if_the_judge_of_features_is_missing(tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(f"{name} is an extra")

    options = dict(arch="tiny", steps=1, outdir=tmp_path, verbose=False)
    fit("digits", **options)
    before = contents(tmp_path)
    monkeypatch.setattr(plan, "load_judge", missing)
    again = dict(options, resume=False, evaluate_every=1, feature_judge="lite0")
    assert line(lambda: fit("digits", **again), ImportError) == "lite0 is an extra"
    assert contents(tmp_path) == before


def test_settings_of_a_run_of_some_classes_bring_the_classes(tmp_path):
    options = dict(arch="tiny", steps=1, verbose=False)
    for data, classes in ((load("digits", classes=["7", "3"]), None), (load("digits"), [7, "3"])):
        some = fit(data, classes=classes, outdir=tmp_path / f"of {classes}", **options)
        assert some.config["class_names"] == ["7", "3"]
        assert "--classes 7,3" in plan.train_command(some.config)
        again = fit(config=some.outdir, verbose=False)
        assert again.config["fingerprint"] == some.config["fingerprint"]
    assert check_fit(load("digits"), steps=1).config["classes"] is None


def test_callbacks_of_keras_see_the_last_evaluation(recwarn):
    "Early stopping by a distance that cannot be reached ends training before its four epochs."
    stop = keras.callbacks.EarlyStopping("frechet_distance", mode="min", baseline=-1, patience=1)
    options = dict(arch="tiny", batch_size=700, steps=8, evaluate_every=2, verbose=False)
    run = fit("digits", callbacks=[stop], **options)
    assert run.step < 8 and not [w for w in recwarn if "not available" in str(w.message)]


def test_a_stream_with_a_rare_class_is_refused_for_what_it_is():
    images = np.random.default_rng(0).integers(0, 256, (21_000, 8, 8, 1)).astype("uint8")
    stream = tf.data.Dataset.from_tensor_slices((images, np.arange(21_000) // 20_998)).batch(500)
    said = line(lambda: check_fit(Stream(stream), evaluate_every=1, steps=1))
    assert said.startswith("class '1' has ") and "among 20,000 images of the stream" in said


def test_a_judge_half_written_is_trained_again(tmp_path, monkeypatch):
    data = Dataset(*DATA)
    recipe = Recipe("arrays", 8, (8,), 2)
    first = judge_for(data, tmp_path, recipe)

    def full(path, *_):
        raise OSError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(judges, "write_json", full)
    other = judges.train_judge(data, recipe, name="judge", seed=5)
    with pytest.raises(OSError, match="No space left"):
        save_judge(other, tmp_path)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="judge 'judge' has hash .*; it is trained again"):
        assert judge_for(data, tmp_path, recipe).hash == first.hash
    assert judge_for(data, tmp_path, recipe).hash == first.hash


def test_copies_are_looked_for_among_unlabelled_images_too(monkeypatch):
    seen, of = [], load_pretrained("digits")
    monkeypatch.setattr(evaluation, "overfitting", lambda run, train, test, seed: seen.append(len(train)) or {})
    few = data_module.hide_labels(load("digits"), 200)
    evaluation.evaluate(of, train=few, samples=50, pairs=3, gan_train_seeds=0)
    assert seen == [len(load("digits"))]


def test_a_report_survives_what_comes_after_it(outdir, monkeypatch):
    "The two-stage score fails, or nothing can be written there: the first is saved, the second said at once."
    saved = []
    monkeypatch.setattr("acgan_nb.evaluation.evaluate", lambda *_, **__: {"measured": 1})
    monkeypatch.setattr("acgan_nb.report.save_report", lambda run, report, *_: saved.append(report) or "page")
    monkeypatch.setattr("acgan_nb.tables.summary", str)
    monkeypatch.setattr("acgan_nb.runs.run_data", lambda *_, **__: None)
    monkeypatch.setattr(cli, "_two_stage", lambda *_: (_ for _ in ()).throw(ValueError("damaged best.weights")))
    done = CliRunner().invoke(main, ["evaluate", str(outdir), "--two-stage"])
    assert done.stderr == "acgan: damaged best.weights\n" and "measured" in done.stdout and saved
    asked = []
    monkeypatch.setattr("acgan_nb.storage.check_writable", lambda *a: asked.append(a) or 1 / 0)
    CliRunner().invoke(main, ["evaluate", str(outdir)])
    assert asked == [(outdir,)] and len(saved) == 1  # before anything is measured


def test_a_file_in_another_code_page_can_hold_every_name(tmp_path):
    for name in ("猫", "犬"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / "photos" / name / "1.png")
    command = [sys.executable, "-m", "acgan_nb.cli", "data", str(tmp_path / "photos")]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True)
    assert done.returncode == 0 and rb"\u732b" in done.stdout, done.stderr


def test_an_exported_run_is_not_trained_over(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = export_run(run, "kept")
    before = contents(kept)
    said = line(lambda: fit(DATA, outdir=kept, **FEW))
    assert "has a generator and no checkpoint to go on from: choose another outdir, with --init" in said
    assert contents(kept) == before | {kept / ".lock": b""}


def test_a_learning_rate_of_a_callback_is_kept(tmp_path):
    def lower(step, logs):
        late.model.d_optimizer.learning_rate = 1e-5

    late = keras.callbacks.LambdaCallback(on_train_batch_end=lower)
    fit(DATA, outdir=tmp_path, callbacks=[late], **FEW)
    run = fit(DATA, outdir=tmp_path, **{**FEW, "steps": 3})
    rates = [float(o.learning_rate) for o in (run.gan.g_optimizer, run.gan.d_optimizer)]
    assert np.allclose(rates, [2e-4, 1e-5])


def test_batches_as_keras_reads_them_from_folders(run):
    "Floats in [0, 255]; and a size of batches that the stream does not have."
    floats = tf.data.Dataset.from_tensor_slices((PIXELS.astype("float32"), LABELS)).batch(20)
    assert "value_range=(0, 255)" in line(lambda: check_fit(floats, steps=1))
    found = check_fit(floats, steps=1, value_range=(0, 255))
    whole = tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).batch(20)
    assert found.config["fingerprint"] == Stream(whole).fingerprint == Stream(floats, value_range=(0, 255)).fingerprint
    said = line(lambda: check_fit(whole, steps=1, batch_size=32))
    assert said == "batch_size=32, but the stream's batches have 20 images"
    assert check_fit(Stream(floats, value_range=(0, 255)), steps=1, value_range=(0, 255))
    assert "give value_range to Stream" in line(lambda: check_fit(Stream(whole), steps=1, value_range=(0, 1)))


def test_a_file_that_another_program_reads_on_windows(tmp_path, monkeypatch):
    tried, move = [], os.replace

    def busy(source, target):
        tried.append(source)
        if len(tried) < 3:
            raise PermissionError(13, "in use")
        move(source, target)

    monkeypatch.setattr(storage.os, "replace", busy)
    with pytest.raises(OSError, match="cannot write .*: in use"):
        storage.write_json(tmp_path / "a.json", {})
    tried.clear()
    monkeypatch.setattr(storage, "_WINDOWS", True)
    storage.write_json(tmp_path / "a.json", {})
    assert len(tried) == 3 and (tmp_path / "a.json").exists()


def test_a_broken_deep_image_is_named_itself(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = np.linspace(0, 1, 64, dtype="float32").reshape(8, 8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.tif")
    broken = tmp_path / "b" / "1.tif"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="more than 8 bits"):
        said = line(lambda: load(tmp_path))
    assert f"cannot read image {broken}" in said and "nor" not in said


def test_nothing_exported_says_where_a_run_started(run):
    from acgan_nb.export import about_run

    there = os.path.abspath("secret/mine")
    found = about_run(dataclasses.replace(run, config={**run.config, "init": there}))
    assert found["settings"]["init"] == "./mine"


def test_a_saved_judge_is_that_of_the_recipe(tmp_path):
    data = Dataset(*DATA)
    for steps, kept in ((1, 1), (2, 2), (None, 2)):
        recipe = steps and Recipe("arrays", 8, (), steps=steps)
        assert judge_for(data, tmp_path, recipe).about["recipe"]["steps"] == kept


def test_a_record_names_its_batch_size_and_counts_its_trials(tmp_path):
    run = fit("digits", arch="tiny", steps=1, batch_size=50, outdir=tmp_path / "run", verbose=False)
    rows = [{"trial": t, "seed": 0, "steps": s, "seconds": 1.0} for t, s in (("a", 1), ("b", 2000), ("b", 1))]
    folder = trials.write_record(tmp_path / "record", rows, run.outdir, command="x")
    read, about = trials.read_record(folder)
    assert "3: 2 trials, seeds 0, 1 to 2,000 steps at batch 50" in what_was_run(about, read)


def test_grids_of_samples_are_in_the_order_of_their_steps(tmp_path):
    directory = RunDirectory(tmp_path)
    (tmp_path / "samples").mkdir()
    for step in (1_000_000, 999_999, 5):
        directory.sheet_path(step).touch()
    assert directory.sheets() == [directory.sheet_path(step) for step in (5, 999_999, 1_000_000)]


# --- What is beside the data, and what is not as expected ---


def test_data_beside_a_generator_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mnist").mkdir()  # data, say
    Path("digits").write_text("notes")
    for name in ("mnist", "digits"):
        assert storage.find_run(name) == storage.results_folder(name)
    export_run(load_run(storage.results_folder("digits")), "cifar10")
    assert storage.find_run("cifar10") == Path("cifar10")  # a run of this name comes first


def test_a_copy_of_a_sample_grid_is_no_step(outdir):
    grids = RunDirectory(outdir).sheets()
    for name in ("step_000002 (1).png", "step_last.png"):  # Google Drive writes the first
        shutil.copy(grids[-1], outdir / "samples" / name)
    assert RunDirectory(outdir).sheets() == grids
    assert fit(DATA, outdir=outdir, **FEW).step == 2
    export_run(load_run(outdir), outdir.parent / "copy")


def test_another_run_is_not_exported_over(run, tmp_path):
    other = fit(DATA, outdir=tmp_path / "other", seed=9, **FEW)
    before = contents(other.outdir)
    assert "is the directory of another run; export to another folder" in line(
        lambda: export_run(run, other.outdir)
    )
    assert contents(other.outdir) == before
    copy = export_run(run, tmp_path / "copy", discriminator=True)
    shutil.copy(copy / "discriminator.weights", copy / "best.weights")
    (copy / "report.json").write_text("{}")
    export_run(other, copy)  # a copy may be replaced, and nothing of the old one stays
    assert load_run(copy).config["seed"] == 9 and load_run(copy).discriminator is None
    assert not (copy / "best.weights").exists() and not (copy / "report.json").exists()


def test_a_lock_without_flock_is_not_left_behind(tmp_path, monkeypatch):
    "Some network drives have no flock: the lock is then a file with a process number in it."
    import fcntl

    def flock(*_):
        raise OSError(38, "Function not implemented")

    (tmp_path / ".lock").write_text("999999999\nnowhere\n")  # of a process that was killed
    with storage.locked(tmp_path):
        pass
    (tmp_path / ".lock").unlink()
    monkeypatch.setattr(fcntl, "flock", flock)
    code = f"import os, signal\nfrom acgan_nb import storage\nimport fcntl\ndef flock(*_): raise OSError(38, '')\nfcntl.flock = flock\nwith storage.locked({str(tmp_path)!r}): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False, capture_output=True)
    assert (tmp_path / ".lock").stat().st_size > 0
    with storage.locked(tmp_path):
        pass

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="cannot lock .*lock: Operation not supported"):
        with storage.locked(tmp_path / "x"):
            pass


def test_a_drive_that_cannot_flush_a_folder(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(fsync.number, os.strerror(fsync.number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    fsync.number = 22
    storage.write_json(tmp_path / "a.json", {"a": 1})
    assert storage.read_json(tmp_path / "a.json") == {"a": 1}
    fsync.number = 5  # EIO is worth a word
    with pytest.raises(OSError, match="cannot write .*a.json: Input/output error"):
        storage.write_json(tmp_path / "a.json", {"a": 2})


def test_a_full_disk_names_the_history(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.history_path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="cannot write .*history.csv: No space left on device"):
        directory.append_row({"step": []}, {"step": 1})


def test_classes_and_notes_stay_with_the_data(tmp_path):
    for name in ("cat", "dog", "fox"):
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS[0, ..., 0]).resize((8, 12)).save(tmp_path / name / "0.png")
    some = load(tmp_path, classes=["cat", "dog"], size=8)
    assert some.is_subset and "another shape" in some.notes[0]
    for data in (some.subset(["dog"]), data_module.repeat_labelled(data_module.hide_labels(some, 2))):
        assert data.is_subset and data.notes == some.notes
    assert not load(tmp_path).is_subset
    hidden = data_module.hide_labels(load("digits").subset([3, 7]), 20)
    config = check_fit(hidden, steps=2).config
    assert config["classes"] == ["3", "7"] and "--classes 3,7" in train.train_command(config)


@pytest.mark.parametrize("framing", ["crop", "pad", "stretch"])
def test_framing_of_digits(framing):
    images = load("digits", size=(8, 16), framing=framing).images
    assert (images[:, :, 0] == 0).all() == (framing == "pad")
    others = {load("digits", size=(8, 16), framing=f).images.tobytes() for f in ("crop", "pad", "stretch")}
    assert len(others) == 3


def test_a_stream_gives_the_same_images_in_any_order():
    digits = load("digits")

    def stream(order, batch):
        rows = tf.data.Dataset.from_tensor_slices((digits.images[order], digits.labels[order]))
        return Stream(rows.batch(batch))

    shuffled = stream(np.random.default_rng(1).permutation(len(digits)), 50)
    by_class = stream(np.argsort(digits.labels, kind="stable"), 100)
    assert shuffled.sample(300).fingerprint == by_class.sample(300).fingerprint
    assert (by_class.sample(300).class_counts > 15).all()
    check_fit(by_class, steps=2, evaluate_every=1)  # all classes are there


def test_numbers_and_labels_of_numpy_and_pandas(tmp_path):
    counts = dict(steps=np.int64(1), evaluate_every=np.int64(1), batch_size=np.int32(50))
    run = fit("digits", **counts, outdir=tmp_path, verbose=False)
    assert load_run(tmp_path).config["evaluation"]["every"] == 1
    named = np.array(["3", "7"], object)  # a column of a data frame
    assert (run.sample(named) == run.sample([3, 7])).all()


def test_a_finished_run_needs_no_judge(outdir, monkeypatch):
    def judge_for(*_):
        raise AssertionError("trained for nothing")

    monkeypatch.setattr(train, "judge_for", judge_for)
    with pytest.warns(UserWarning, match="nothing was left to evaluate"):
        assert fit(DATA, outdir=outdir, **FEW, evaluate_every=1).step == 2


def test_the_last_epoch_ends():
    ended = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ended.append((epoch, "d_loss" in logs)))
    fit(DATA, steps=3, batch_size=20, verbose=False, callbacks=note)  # two steps per epoch
    assert ended == [(0, True), (1, True)]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_a_global_dtype_policy_is_refused(policy):
    keras.config.set_dtype_policy(policy)
    try:
        said = [line(lambda: load_judge("digits")), line(lambda: check_fit("digits"))]
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(f"Keras has '{policy}': use mixed_precision=True of fit" in text for text in said)


def test_arrays_where_one_value_is_expected():
    deep, few = (PIXELS.astype("uint16") * 16, LABELS), dict(steps=2, batch_size=20)
    assert check_fit(deep, **few, value_range=np.array([0, 4080])).config["value_range"] == [0, 4080]
    said = line(lambda: check_fit(DATA, latent=np.array(["normal", "uniform"])))
    assert said.startswith("latent must be one of 'normal', 'uniform'")
    assert "mixed_precision must be one of" in line(lambda: check_fit(DATA, mixed_precision=1))
    assert check_fit(DATA, **few, mixed_precision=np.True_).config["mixed_precision"] is True
    assert "value_range must be two numbers" in line(lambda: check_fit(DATA, value_range=()))


def test_more_classes_than_images_need_names():
    said = line(lambda: Dataset(PIXELS[:4], [0, 1, 9, 9]))
    assert said == "label 9 of only 4 images: give class_names if there are so many classes"
    assert Dataset(PIXELS[:4], [0, 1, 9, 9], range(10)).num_classes == 10


def test_floats_that_were_rounded():
    floats = np.float32([[[[-1.0], [np.nextafter(np.float32(1), np.float32(2))]]]])
    assert data_module.as_images(floats).ravel().tolist() == [0, 255]
    said = line(lambda: data_module.as_images(floats * 2.5 + 0.1))
    assert "such as value_range=(-2.4" in said
    for white in (1023.0, 4095.0, 65535.0):  # the advice can be followed
        deep = np.array([0, white, 0.5, 1.5]).reshape(1, 2, 2, 1)
        advice = re.search(r"value_range=\((.+), (.+)\)", line(lambda deep=deep: data_module.as_images(deep)))
        assert data_module.as_images(deep, tuple(map(float, advice.groups()))).max() == 255


def test_latents_and_labels_that_cannot_be_drawn():
    network = build_generator("digits")
    z = np.zeros((2, 100), "float32")
    for labels, words in [([3.7, 1], "integer class ids"), (3, "got shape ()"), ([1], "got shape (1,)"),
                          ([-1, 1], "a class id of 0 and up for each")]:
        assert words in line(lambda labels=labels: sampling.generate(network, z, labels))
    assert "at least one z" in line(lambda: sampling.generate(network, z[:0], []))
    path = sampling.interpolate(np.zeros(3), np.ones(3), 3, spherical=True)
    assert path[:, 0].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("kind", ["float64", "float16"])
def test_floats_of_any_precision_are_trained_on(kind):
    gan = ACGAN(build_generator("tiny", num_classes=4), build_discriminator("tiny", num_classes=4))
    gan.compile(augment="color,translation,cutout", run_eagerly=True, steps_per_execution=None)
    rows = tf.data.Dataset.from_tensor_slices(((PIXELS / 127.5 - 1).astype(kind), LABELS))
    history = gan.fit(rows.batch(20), verbose=0).history
    assert np.isfinite(history["d_loss"]).all()


def test_out_of_memory_is_one_line(monkeypatch, tmp_path):
    class ResourceExhaustedError(Exception):
        pass

    for error in (MemoryError(), ResourceExhaustedError("OOM when\nallocating"), RuntimeError("RESOURCE_EXHAUSTED")):
        def failing(*_, error=error, **__):
            raise error

        monkeypatch.setattr("acgan_nb.train.fit", failing)
        result = CliRunner().invoke(main, ["train", "digits", "--outdir", str(tmp_path / "x")])
        assert (result.exit_code, result.stderr) == (
            2, "acgan: out of memory; a smaller --batch-size or --size needs less\n")
    monkeypatch.setattr("acgan_nb.storage.find_run", failing)
    assert CliRunner().invoke(main, ["sample", "digits"]).stderr == "acgan: out of memory\n"
    monkeypatch.setattr("acgan_nb.train.fit", lambda *_, **__: 1 / 0)
    assert isinstance(CliRunner().invoke(main, ["train", "digits"]).exception, ZeroDivisionError)


def test_the_default_folder_of_a_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = []

    def noted(data, outdir, **_):
        made.append(str(outdir))
        return SimpleNamespace(history={"seconds": []}, step=0, config={"arch": "x"})

    monkeypatch.setattr("acgan_nb.train.fit", noted)
    monkeypatch.setattr("acgan_nb.tfds.check_name", lambda *_: None)
    (tmp_path / "my photos" / "a").mkdir(parents=True)
    for name in ("imagenet_resized/64x64", "mnist:3.0.1", "my photos"):
        assert CliRunner().invoke(main, ["train", name]).exit_code == 0
    assert made == ["runs/imagenet_resized_64x64", "runs/mnist_3.0.1", "runs/my photos"]


def test_arrays_of_another_shape_are_cropped_with_a_note():
    high = (np.repeat(PIXELS, 2, axis=1), LABELS)
    plan = check_fit(high, size=8, steps=2, batch_size=20)
    assert any("40 of 40 images have another shape than 8x8: only their middle" in note for note in plan.notes)
    for data in (DATA, Dataset(*DATA)):
        assert not any("another shape" in note for note in check_fit(data, size=8, steps=2, batch_size=20).notes)


def test_classes_of_a_subset_are_recorded_by_name(tmp_path):
    config = check_fit(load("digits", classes=[3, 5]), classes=[0], arch="tiny", steps=1).config
    assert config["class_names"] == config["classes"] == ["3"]


def test_a_home_folder_is_one_and_the_same_for_who_writes_and_who_reads(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    save_judge(load_judge("digits"), "~/judges")
    assert load_judge("digits", "~/judges").hash == load_judge("digits").hash
    data, recipe = Dataset(*DATA), Recipe("arrays", 8, (8,), 1)
    first = judge_for(data, "~/mine", recipe)
    monkeypatch.setattr(judges, "train_judge", None)  # it is found, not trained again
    assert judge_for(data, "~/mine", recipe).hash == judge_for(data, "~/mine/trial", recipe).hash == first.hash
    run = fit(DATA, outdir="~/run", **FEW)
    row = {"trial": "a", "seed": 0, "steps": 2, "seconds": 1.0}
    trials.write_record("~/record", [row], run.outdir, command="x")
    assert trials.read_record("~/record")[0] == [row]
    storage.check_run("~/run")
    assert not (tmp_path / "~").exists()


def test_a_recipe_from_a_record_can_be_trained():
    recipe = Recipe("arrays", 8, [8], 1)  # JSON has lists
    assert judges.train_judge(Dataset(*DATA), recipe, name="again").network


def test_a_bright_batch_of_a_stream_is_no_error():
    "Whether floats are in [-1, 1] is decided by the first batch: its last one may have no dark pixel."
    floats = PIXELS / 127.5 - 1
    floats[-1] = 0.5
    stream = Stream(tf.data.Dataset.from_tensor_slices((floats, LABELS)).batch(39))
    assert stream.fingerprint == Stream(tf.data.Dataset.from_tensor_slices((floats, LABELS)).batch(20)).fingerprint
    bright = tf.data.Dataset.from_tensor_slices((abs(floats), LABELS)).batch(20)
    assert "value_range=(0, 1)" in line(lambda: Stream(bright))
    said = line(lambda: trials.load_test_split(stream.sample(10)))
    assert said.endswith("batches of a stream have no test split")


def test_a_curve_of_an_unknown_trial_is_one_line(tmp_path):
    storage.write_rows(tmp_path / "curves.csv", [{"trial": "plain", "seed": 0, "step": 1, "d_x": 0.5}])
    assert "'plain'" in line(lambda: trials.read_curve(tmp_path / "curves.csv", "plane", "d_x"))


def test_what_a_callback_changes_at_the_end_of_an_epoch_is_in_the_checkpoint(tmp_path):
    class Killed(BaseException):
        pass

    class Half(keras.callbacks.Callback):
        epochs, rates = 4, []

        def on_epoch_end(self, epoch, logs=None):
            self.model.g_optimizer.learning_rate = float(self.model.g_optimizer.learning_rate) / 2

        def on_epoch_begin(self, epoch, logs=None):
            self.rates.append(float(self.model.g_optimizer.learning_rate))
            if epoch == self.epochs:
                raise Killed

    how = dict(arch="tiny", batch_size=20, epochs=4, save_every=2, outdir=tmp_path / "run", verbose=False)
    half = Half()
    half.epochs = 2
    with pytest.raises(Killed):
        fit(DATA, callbacks=[half], **how)
    fit(DATA, callbacks=[Half()], **how)
    assert np.allclose(Half.rates, [2e-4, 1e-4, 5e-5, 5e-5, 2.5e-5])


def test_a_callback_that_is_empty_is_called(tmp_path):
    class Steps(keras.callbacks.Callback, list):
        def on_train_batch_end(self, batch, logs=None):
            self.append(batch)

    steps = Steps()
    fit(DATA, callbacks=[steps], **FEW)
    assert len(steps) == 2


def test_a_generator_of_the_package_is_not_taken_for_the_run_of_this_name(run):
    from acgan_nb.config import without_place

    for init, told in (("runs/mnist", "./mnist"), ("mnist", "mnist"), ("hf://me/mnist", "hf://me/mnist"),
                       ("C:\\runs\\mnist", "./mnist"), (None, None)):  # fmt: skip
        config = {"data": "C:\\Users\\ann\\photos", "init": init}
        assert without_place(config, config) == {"data": "photos", "init": told}


@pytest.mark.parametrize("name", ["val", "test"])
def test_held_out_images_beside_the_classes_are_no_class(name, tmp_path):
    for folder in ("cat", "dog", f"{name}/cat", f"{name}/dog"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / folder / "1.png")
    found = load(tmp_path)
    assert found.class_names == ("cat", "dog") and any("val left out" in note for note in found.notes) == (name == "val")
    for inside in ("cat/young", "dog/dog", "dog/cat"):  # folders in a class are part of it
        (tmp_path / inside).mkdir()
        Image.fromarray(PIXELS[1, ..., 0]).save(tmp_path / inside / "1.png")
    assert load(tmp_path).class_counts.tolist() == [2, 3]


def test_a_class_in_a_folder_of_its_name_is_a_class(tmp_path):
    for folder in ("cat/cat", "dog"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / folder / "1.png")
    assert load(tmp_path).class_names == ("cat", "dog")


@pytest.mark.parametrize("suffix", [".tga", ".pbm", ".jpe", ".DIB"])
def test_rarer_formats_are_read(suffix, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        kind = {".pbm": "1", ".jpe": "L"}.get(suffix, "RGB")
        how = {".jpe": "jpeg", ".DIB": "dib"}.get(suffix)
        Image.fromarray(PIXELS[0, ..., 0]).convert(kind).save(tmp_path / name / f"1{suffix}", how)
    assert len(load(tmp_path)) == 2


def test_a_format_that_is_not_read_is_no_image_left_out(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(PIXELS[0, ..., 0]).save(tmp_path / name / "1.png")
    (tmp_path / "b" / "2.dng").write_bytes(b"raw")
    assert "2.dng: convert it to PNG or JPEG" in line(lambda: load(tmp_path))


def test_a_line_of_text_is_padded_to_a_line():
    from acgan_nb.sources import resize

    line_of_text = np.full((1, 12, 400, 1), 255, "uint8")
    padded = resize(line_of_text, (8, 8), "pad")[0, ..., 0]
    assert (padded == 255).sum() == 8 and (padded.max(axis=1) == 255).sum() == 1


def test_a_dataset_was_read_already(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(3):
            Image.fromarray(PIXELS[k, ..., 0]).save(tmp_path / name / f"{k}.png")
    said = line(lambda: check_fit(load(tmp_path), value_range=(0, 255), arch="tiny", batch_size=2, steps=1))
    assert said == "a Dataset holds bytes already: give value_range to load(...) or Dataset(...)"


def test_samples_in_folders_load_as_the_classes_they_are_of(tmp_path):
    fit("digits", classes=[3, 7], arch="tiny", steps=1, outdir=tmp_path / "run", verbose=False)
    done = CliRunner().invoke(main, ["sample", str(tmp_path / "run"), "--count", "2", "--out", str(tmp_path / "some")])
    assert done.exit_code == 0, done.output
    assert load(tmp_path / "some").class_names == ("3", "7")


def test_a_name_in_another_form_of_unicode_is_the_same_name():
    from acgan_nb.arrays import ids_of

    assert ids_of(["caf\u00e9", "cafe\u0301"], ["dog", "cafe\u0301"]) == [1, 1]
    assert ids_of(["caf\u00e9", "cafe\u0301"], ["caf\u00e9", "cafe\u0301"]) == [0, 1]


def test_compare_says_after_how_many_steps():
    assert re.search(r"training steps +9,000 ", compare([storage.results_folder("mnist")]))


def test_a_large_sheet_is_a_small_part_of_a_page():
    large = Dataset(np.random.default_rng(0).integers(0, 256, (4, 512, 512, 3)).astype("uint8"), [0, 1, 0, 1])
    assert len(large._repr_html_()) < 2e6


def test_a_signal_that_is_not_pythons_is_left_alone(monkeypatch):
    "A program that embeds Python may have a handler that Python can neither name nor put back."
    real = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda n: None if n == signal.SIGTERM else real(n))
    before = real(signal.SIGTERM)
    with train.noting_signals():
        assert real(signal.SIGTERM) is before and real(signal.SIGINT) is not signal.default_int_handler


def test_inception_scores_are_asked_for_before_hours_of_measuring(run, monkeypatch):
    def offline(*_):
        raise OSError("no network")

    monkeypatch.setattr(evaluation, "fidelity_scores", offline)
    monkeypatch.setattr(evaluation, "_measure_column", None)
    monkeypatch.setattr(evaluation, "check_installed", lambda: None, raising=False)
    with pytest.raises(OSError, match="no network"):
        digits = load_pretrained("digits")
        evaluation.evaluate(digits, samples=50, pairs=3, gan_train_seeds=0, fidelity=True)


def test_samples_for_gan_train_are_refused_before_anything_is_measured(run, monkeypatch):
    monkeypatch.setattr(evaluation, "_measure_column", None)
    monkeypatch.setattr("os.sysconf", lambda name: 2**10)  # a machine of a megabyte
    few = dict(samples=50, pairs=3, gan_train_seeds=1, gan_train_samples=10_000)
    said = line(lambda: evaluation.evaluate(load_pretrained("digits"), **few))
    assert said.startswith("the samples for GAN-train would take")
    one_at_a_time = few | dict(gan_train_seeds=3, gan_train_samples=5_000, seed=0)  # three would not fit
    assert set(evaluation._columns(load_pretrained("digits"), load("digits"), one_at_a_time)) == {"generated", "real"}


@pytest.mark.parametrize("splits", [("Training", "Testing"), ("seg_train", "seg_test"), ("train_images", "validation"),
                                    ("Train", "Test")])  # fmt: skip
def test_splits_of_other_names_are_no_classes(splits, tmp_path):
    root = write_images(tmp_path / "mri", [f"{split}/{kind}" for split in splits for kind in ("glioma", "none")])
    assert "look like splits, not classes: name them train and test" in line(lambda: load(root))
    assert load(write_images(tmp_path / "own", ["training_shoe", "latest", "valley"])).num_classes == 3


def test_a_class_that_is_named_like_a_split_is_mentioned(tmp_path):
    found = load(write_images(tmp_path, ["cat", "dog", "test"]))
    assert found.class_names == ("cat", "dog", "test") and any("read as a class" in note for note in found.notes)


def test_data_of_tfds_are_looked_for_in_the_home_folder(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    asked = []
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: asked.append(data_dir) or 1 / 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    line(lambda: load("mnist", data_dir="~/tfds"))
    line(lambda: load("mnist", data_dir="gs://bucket/tfds"))
    assert asked == [f"{tmp_path}/tfds", "gs://bucket/tfds"]


def test_the_range_of_arrays_is_not_that_of_the_same_data_by_name(tmp_path):
    digits = load("digits")
    run = fit((digits.images / 255, digits.labels), value_range=(0, 1), outdir=tmp_path / "run", **FEW)
    assert (runs.run_data(run, "test", data="digits").images == load("digits", "test").images).all()
    assert "value_range" not in storage.replayed(run.outdir, {"data": "digits"})
    assert storage.replayed(run.outdir, {"data": (digits.images / 255, digits.labels)})["value_range"] == [0, 1]


def test_a_judge_of_a_folder_is_saved_under_a_name_of_its_own(tmp_path):
    data = load(write_images(tmp_path / "pets", ["cat", "dog"]))
    save_judge(judges.train_judge(data, Recipe("pets", 8, (8,), 1)), tmp_path / "judges")
    assert load_judge("judge of pets", tmp_path / "judges").about["class_names"] == ["cat", "dog"]


def test_an_ensemble_of_large_images_makes_few_at_once(monkeypatch):
    sizes = []

    def generator(inputs, training=False):
        sizes.append(len(inputs[0]))
        return np.zeros((len(inputs[0]), 128, 128, 3), "float32")

    config = {"class_names": ["cat"], "latent_dim": 4, "latent": "normal", "image_shape": [128, 128, 3]}
    ensemble = sweeps.Ensemble(Path("x"), config, {0: ("split_00", 0)})
    monkeypatch.setattr(sweeps.Ensemble, "generator", staticmethod(generator))
    assert ensemble.sample(0, count=40).shape == (40, 128, 128, 3) and max(sizes) == 32


def test_pages_of_a_file_are_not_left_out(tmp_path):
    root = write_images(tmp_path, ["a", "b"])
    pages = [Image.fromarray(image[..., 0]) for image in PIXELS[:3]]
    pages[0].save(root / "a" / "stack.tif", save_all=True, append_images=pages[1:])
    assert re.search(r"stack.tif: it has 3 pages; save each", line(lambda: load(root)))


def test_a_range_is_of_what_is_seen_where_an_image_is_transparent(tmp_path):
    hidden = np.zeros((8, 8, 4), "uint8")
    hidden[:4] = 80, 80, 80, 255
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(hidden).save(tmp_path / name / "half.png")
    found = load(tmp_path, value_range=(0, 200)).images
    assert (found[:, :4] == 102).all() and (found[:, 4:] == 255).all()


def test_too_few_images_for_pairs_say_how_many_can_do():
    few = Dataset(PIXELS, LABELS)
    assert "10 training images, 15 are needed for 100 pairs; 45 are possible" in line(
        lambda: evaluation.check_classes(few, few)
    )


def test_a_report_says_when_its_measures_mean_little():
    report = json.loads((storage.results_folder("digits") / "report.json").read_text())
    sure = tables.remarks_on(report)
    assert tables.remarks_on(report | {"test_class_sizes": [34, 40]}) == sure
    [said] = set(tables.remarks_on(report | {"test_class_sizes": [10, 90]})) - set(sure)
    assert "10 to 90 real test images" in said
    assert "there is one class" in tables._warnings_on({"run": {"class_names": ["0"]}})[0]


def test_a_sweep_leaves_gpu_memory_to_its_trials(monkeypatch):
    pytest.importorskip("ray")
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sweeps, "load_for_trials", lambda *_: 1 / 0)
    for call in (lambda: sweeps.sweep("digits", [{}], "runs/x"), lambda: sweeps.splits("digits", "runs/x")):
        with pytest.raises(ZeroDivisionError):
            call()
        assert os.environ.pop("TF_FORCE_GPU_ALLOW_GROWTH") == "true"
        assert os.environ.pop("XLA_PYTHON_CLIENT_PREALLOCATE") == "false"


def test_a_callback_may_evaluate_the_model(tmp_path):
    "Validation by Keras' `evaluate` at the end of an epoch leaves the means of training as they are."
    seen = []

    def validate(epoch, logs):
        seen.append(watcher.model.evaluate(*DATA, verbose=0, return_dict=True)["d_loss"])

    watcher = keras.callbacks.LambdaCallback(on_epoch_end=validate)
    options = FEW | dict(steps=4, log_every=3)
    plain, watched = (fit(DATA, callbacks=each, **options).history for each in ([], [watcher]))
    assert len(seen) == 2 and {k: v for k, v in plain.items() if k != "seconds"} == {
        k: v for k, v in watched.items() if k != "seconds"
    }


def test_a_signal_saves_what_the_last_step_left(tmp_path):
    "Not what a callback makes of the weights at the end, such as the best ones (EarlyStopping)."

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                signal.raise_signal(signal.SIGTERM)

        def on_train_end(self, logs=None):
            for weight in self.model.generator.trainable_variables:
                weight.assign(weight * 0)

    options = FEW | dict(steps=6)
    with pytest.raises(train.Stopped):
        fit(DATA, outdir=tmp_path / "run", callbacks=[Spoil()], **options)
    resumed, whole = fit(DATA, outdir=tmp_path / "run", **options), fit(DATA, **options)
    for a, b in zip(resumed.generator.get_weights(), whole.generator.get_weights()):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore")
def test_callbacks_get_each_evaluation_once():
    "Patience of Keras' callbacks counts evaluations, not the epochs between them."
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs.get("frechet_distance")))
    run = fit("digits", arch="tiny", batch_size=700, steps=8, evaluate_every=4, callbacks=[look], verbose=False)
    measured = [value for value in run.history["frechet_distance"] if value == value]
    assert [value is not None for value in seen] == [False, True, False, True]
    assert [value for value in seen if value is not None] == pytest.approx(measured, rel=1e-6)


def test_images_that_are_sent_are_few_at_a_time():
    sent = []

    def loop(images, labels, rows):
        sent.append((np.asarray(images)[rows].tolist(), np.asarray(labels)[rows].tolist(), len(images)))
        return {"d_loss": float(len(sent))}

    batches = ((np.full(3, i), np.full(3, i)) for i in range(10))
    advance = loop_module.TrainingSteps(loop_module._sent_steps(loop, batches, 2), at_once=2)
    assert advance(5) == {"d_loss": 3.0} and advance(1) == {"d_loss": 4.0}
    assert [images for images, _, _ in sent] == [[[i] * 3 for i in step] for step in ([0, 1], [2, 3], [4], [5])]
    assert {size for *_, size in sent} == {6}
    shape = SimpleNamespace(image_shape=(512, 512, 3))
    assert loop_module._steps_to_send(shape, 100, 50) == 3 and loop_module._steps_to_send(shape, 10**4, 50) == 1
    assert loop_module._steps_to_send(SimpleNamespace(image_shape=(8, 8, 1), batch_size=100), 1, 50) == 50


def test_what_needs_no_data_is_refused_before_data_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "as_dataset", lambda *_, **__: 1 / 0)
    (tmp_path / "history.csv").write_text("mine")
    for error, said, options in (
        (ValueError, "devices=999", dict(devices=999)),
        (OSError, "cannot write to outdir", dict(outdir=tmp_path / "history.csv" / "run")),
        (ValueError, "that is no run's", dict(outdir=tmp_path)),
    ):
        assert said in line(lambda: fit("digits", steps=1, **options), error)
    monkeypatch.setattr(plan, "load_judge", lambda name: (_ for _ in ()).throw(ImportError("judge lite0 needs it")))
    with pytest.raises(ImportError, match="judge lite0 needs it"):
        check_fit("digits", steps=1, evaluate_every=1, feature_judge="lite0")


def test_an_ignored_signal_stays_ignored():
    "A shell script ignores SIGINT for what it starts with `&`."
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with train.noting_signals() as caught:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert caught == []
    finally:
        signal.signal(signal.SIGINT, before)


def test_units_that_are_too_few_for_wide_images_are_refused(outdir):
    wide = np.zeros((4, 32, 1024, 1), "uint8"), [0, 1, 0, 1]
    kept = contents(outdir)
    said = line(lambda: fit(wide, linear="units", outdir=outdir, resume=False, steps=1, batch_size=4))
    assert "384 units are too few for maps of 4x128" in said and contents(outdir) == kept
    check_fit(wide, linear="maps", steps=1, batch_size=4)


def test_a_damaged_history_beside_a_whole_checkpoint_is_no_matter(outdir):
    (outdir / "history.csv").write_text("no,history\nat,all\n")
    assert load_run(outdir).history["step"][-1] == FEW["steps"]


def test_a_damaged_checkpoint_never_replaces_the_whole_one_before_it(outdir):
    shutil.copy(outdir / "checkpoint", whole := outdir / "checkpoint.previous")
    before = whole.read_bytes()
    (outdir / "checkpoint").write_bytes(before[:-50])
    options = FEW | dict(steps=4, save_every=4)  # saved once, at the end
    with pytest.warns(UserWarning, match="using .*checkpoint.previous"):
        fit(DATA, outdir=outdir, **options)
    assert whole.read_bytes() == before and RunDirectory(outdir).find_checkpoint().step == 4
    fit(DATA, outdir=outdir, **options | dict(steps=5))
    (outdir / "checkpoint").unlink()
    with pytest.warns(UserWarning, match="checkpoint is missing; using .*, step 4"):
        RunDirectory(outdir).find_checkpoint()


def test_the_range_of_files_is_not_that_of_arrays(tmp_path):
    root = tmp_path / "deep"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 4000, "uint16")).save(root / name / "1.png")
    run = fit(root, value_range=(0, 4095), outdir=tmp_path / "run", steps=1, batch_size=2, verbose=False)
    assert "value_range" not in storage.replayed(run.outdir, {"data": DATA})
    assert storage.replayed(run.outdir, {})["value_range"] == [0, 4095]


# --- what users bring: a third look ---


def test_a_value_range_is_a_fact_of_a_dataset(tmp_path):
    twelve_bits = PIXELS.astype("uint16") * 16
    data = Dataset(twelve_bits, LABELS, value_range=(0, 4095))
    arrays = check_fit((twelve_bits, LABELS), value_range=(0, 4095), **FEW).config
    assert check_fit(data, **FEW).config["value_range"] == arrays["value_range"] == [0, 4095]
    assert check_fit(data, value_range=(0, 4095), **FEW).config["fingerprint"] == arrays["fingerprint"]
    said = line(lambda: check_fit(Dataset(PIXELS, LABELS), value_range=(0, 100), **FEW))
    assert "give value_range to load(...) or Dataset(...)" in said
    wide = np.repeat(twelve_bits, 2, axis=2)
    found = trials.load_for_trials((wide, LABELS), tmp_path, {"a": {"value_range": (0, 4095)}}, size=8)
    assert trials.check_trial(found, {"value_range": (0, 4095), "batch_size": 20})["value_range"] == [0, 4095]


def test_more_steps_than_one_call_takes():
    def after(counts):
        gan = ACGAN(build_generator("tiny"), build_discriminator("tiny"))
        gan.compile()
        steps = loop_module.training_steps(gan, Dataset(PIXELS, LABELS), 20)
        for count in counts:
            steps(count)
        return storage.digest(gan.weights)

    assert after([3]) == after([1, 1, 1]) != after([2])


def test_a_hub_copy_that_is_trained_anew_loses_its_tensors(tmp_path):
    storage.write_json(tmp_path / "config.json", load_pretrained("digits").config)
    (tmp_path / "generator.safetensors").write_bytes(b"of the run that was here")
    RunDirectory(tmp_path).clear()
    assert not list(tmp_path.iterdir())


def test_a_trial_with_nothing_to_start_from_is_named(tmp_path):
    with pytest.raises(OSError, match=f"trial 'b': no run in '{tmp_path}/nowhere'"):
        trials.check_trials(load("digits"), {"a": {}, "b": {"init": str(tmp_path / "nowhere")}})


def test_a_record_can_be_written_into_the_folder_of_its_runs_again(tmp_path):
    fit("digits", outdir=tmp_path / "a,seed=0", steps=1, verbose=False)
    rows = [{"trial": "a", "seed": 0, "steps": 1, "seconds": 2.0, "recall": 0.5}]
    for _ in range(2):
        trials.write_record(tmp_path, rows, tmp_path)
    assert trials.read_record(tmp_path)[1]["data"] == "digits"


@pytest.mark.parametrize(("data", "said"), [
    (((PIXELS, LABELS), (PIXELS, LABELS)), "data are two splits, (images, labels) each: pass the first, such as load_data()[0]"),
    (type("Dataset", (), {"__module__": "datasets.arrow_dataset"})(), "PyDataset), got datasets.arrow_dataset.Dataset"),
])  # fmt: skip
def test_data_of_other_libraries_are_told_what_is_wanted(data, said):
    assert said in line(lambda: check_fit(data))


def test_evaluations_take_what_fit_takes(tmp_path):
    run = fit((PIXELS, LABELS), steps=1, batch_size=20, verbose=False)
    own = judges.Judge("own", judges.judge_network(8, 1, 4, (4,)), about=dict(class_names="0123", channels=1))
    few = dict(samples=100, pairs=1, gan_train_seeds=0, judge=own)
    report = evaluation.evaluate(run, train=(PIXELS, LABELS), test=(PIXELS, LABELS), **few)
    assert report["settings"]["test_fingerprint"] == Dataset(PIXELS, LABELS).fingerprint
    stream = tf.data.Dataset.from_tensor_slices((PIXELS, LABELS)).batch(20)
    assert "not a stream of batches" in line(lambda: evaluation.evaluate(run, train=stream, test=stream, **few))


def test_names_in_capitals_are_those_of_tfds(monkeypatch):
    asked = []
    monkeypatch.setattr(data_module, "read_tfds", lambda name, *_: asked.append(name) or (PIXELS, LABELS, None))
    names = {"MNIST": "mnist", "CIFAR10": "cifar10", "FashionMNIST": "fashion_mnist", "CatsVsDogs": "cats_vs_dogs"}
    names |= {"Mnist:3.0.1": "mnist:3.0.1", "so2sat/RGB": "so2sat/RGB"}
    assert [load(name).name for name in names] == asked == [*names.values()] and load("DIGITS").name == "digits"
    tfds_module.check_name("DIGITS")
    digits = load("digits", "test")
    assert judges.shipped_judge(dataclasses.replace(digits, name="digits:1.0.0")) == "digits"
    assert "did you mean 'mnist'?" in line(lambda: load_pretrained("MNIST_"))


def test_nobody_is_told_to_change_the_data_of_a_run(tmp_path):
    said = line(lambda: load(write_images(tmp_path, ["cat", "dog"]), "test"))
    assert "put images there that are not used in training" in said


def test_a_stream_knows_the_names_of_keras_folders(tmp_path):
    write_images(tmp_path, ["cat", "dog"], count=4)
    batches = keras.utils.image_dataset_from_directory(tmp_path, image_size=(8, 8), batch_size=4, verbose=False)
    assert Stream(batches, value_range=(0, 255)).class_names == ("cat", "dog")


def test_a_range_has_room_for_rounding():
    one = np.nextafter(np.float32(1), np.float32(2))
    assert Dataset(np.float32([0, one]).reshape(2, 1, 1), [0, 1], value_range=(0, 1)).images.ravel().tolist() == [0, 255]
    assert "images hold values from 0 to 1.001" in line(lambda: Dataset(np.float32([[[0, 1.001]]]), [0], value_range=(0, 1)))
    assert "from 0 to 256" in line(lambda: Dataset(np.array([[[0, 256]]]), [0], value_range=(0, 255)))


@pytest.mark.parametrize(("short", "name"), [("lr", "learning_rate"), ("nz", "latent_dim"), ("Beta_1", "beta_1")])
def test_names_of_the_command_line_are_known_in_python(short, name):
    assert f"did you mean {name!r}?" in line(lambda: check_fit("digits", **{short: 1}))


@pytest.mark.parametrize("command", [["train", "digits", "--steps", "1", "--outdir", ""], ["sample", "digits", "--out", ""],
                                     ["evaluate", ""]])  # fmt: skip
def test_an_unset_variable_is_no_folder(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 2 and "must not be empty" in done.stderr and not list(tmp_path.iterdir())


def test_a_judge_of_ones_own_says_its_classes_in_any_form():
    digits, network = load("digits", "test"), judges.judge_network(8, 1, 10, (4,))
    mine = judges.Judge("mine", network, about=dict(class_names=digits.class_names, channels=1))
    assert mine.fits(digits) and not dataclasses.replace(mine, about=dict(class_names=digits.class_names)).fits(digits)


def test_names_by_id():
    assert Dataset(PIXELS, LABELS % 2, {1: "dog", 0: "cat"}).class_names == ("cat", "dog")
    assert Dataset(PIXELS, LABELS % 2, {"dog": 1, "cat": 0}).class_names == ("cat", "dog")
    assert "class_names by id must have the ids 0..1, got 1, 2" in line(lambda: Dataset(PIXELS, LABELS % 2, {1: "a", 2: "b"}))


def test_a_run_without_a_history_is_drawn(tmp_path):
    run = fit("digits", outdir=tmp_path, steps=1, verbose=False)
    RunDirectory(tmp_path).write_history({key: [] for key in run.history})
    for kept in tmp_path.glob("checkpoint*"):
        kept.unlink()
    done = CliRunner().invoke(main, ["plot", str(tmp_path)])
    assert done.exit_code == 0 and (tmp_path / "latent_sweep.png").exists() and not (tmp_path / "curves.png").exists()


def test_no_callbacks():
    assert check_fit("digits", steps=1, callbacks=None).callbacks == ()


def test_a_run_knows_that_its_generator_is_the_best(tmp_path):
    with pytest.warns(CollapseWarning):
        fit("digits", outdir=tmp_path / "run", steps=4, evaluate_every=2, verbose=False)
    best = load_run(tmp_path / "run", best=True)
    assert best.best and not load_run(tmp_path / "run").best
    report = tables.read_report(storage.results_folder("digits"))
    report["run"]["step"] = best.step
    assert save_report(best, report, load("digits")).name == "report_best.html"
    copy = export_run(best, tmp_path / "copy")  # which holds one generator
    assert tables.read_report(copy)["run"]["step"] == best.step and not load_run(copy).best


def test_a_range_is_not_asked_of_data_that_need_none(tmp_path):
    "Bytes that were ours already; a name by which `load` finds images."
    fit((PIXELS.astype("uint16") * 16, LABELS), value_range=(0, 4095), outdir=tmp_path, **FEW)
    assert check_fit(**storage.replayed(tmp_path, {"data": Dataset(PIXELS, LABELS)})).config["value_range"] is None
    named = Dataset(PIXELS / np.float32(255), LABELS, name="mnist", value_range=(0, 1))
    assert check_fit(named, **FEW).config["value_range"] is None


def test_evaluations_take_names_and_keep_classes_apart(tmp_path):
    run = load_pretrained("digits")
    judge = load_judge("digits")
    report = evaluation.evaluate(run, train="digits", samples=20, pairs=1, gan_train_seeds=0, judge=judge)
    assert report["settings"]["train_fingerprint"] == run.config["fingerprint"]
    some = fit(DATA, classes=[1, 0], steps=1, batch_size=10, verbose=False)
    assert "give a Dataset with class_names" in line(lambda: evaluation.evaluate(some, train=DATA, test=DATA))


def test_a_projection_of_images_without_a_label():
    "D would know the real ones by that."
    some = Dataset(PIXELS, np.where(np.arange(40) < 30, LABELS, -1))
    said = "class_head='projection' needs a label for every image, 10 have none"
    assert said in line(lambda: check_fit(some, class_head="projection", **FEW))
    stream = tf.data.Dataset.from_tensor_slices((some.images, some.labels)).batch(20)
    assert said in line(lambda: check_fit(stream, class_head="projection", steps=1))
    assert check_fit(some, **FEW) and check_fit(DATA, class_head="projection", **FEW)


@pytest.mark.parametrize("options", [dict(gradient_accumulation_steps=4), dict(loss_scale_factor=1024.0)])
def test_optimizers_whose_steps_are_not_the_games(options):
    gan = ACGAN(build_generator("tiny"), build_discriminator("tiny"))
    for pair in ((keras.optimizers.Adam(**options), None), (None, keras.optimizers.SGD(**options))):
        assert next(iter(options)) in line(lambda: gan.compile(*pair))  # noqa: B023


def test_rungs_compare_trials_that_were_evaluated_equally_often():
    with pytest.raises(ValueError, match="which differ in evaluate_every"):
        sweeps._check_rungs((5, 10), 0.5, {"a": dict(evaluate_every=1), "b": dict(evaluate_every=5)})


# --- a fourth look ---


@pytest.mark.parametrize("words, said", [
    ("train digits --steps 1 --init ''", "init must be a run directory or a name, got ''"),
    ("train digits --steps 1 --classes ''", "classes"),
    ("sweep digits --preset paper27 --rungs ''", "rungs"),
    ("evaluate RUN --data ''", "''"),
    ("plot RUN --data ''", "''"),
    ("train '' --config RUN", "''"),
])
def test_an_empty_value_is_not_an_option_left_out(words, said, outdir, tmp_path, monkeypatch):
    "As of a variable of the shell that is not set."
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [str(outdir) if w == "RUN" else w for w in shlex.split(words)])
    assert done.exit_code == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.output


def test_images_are_trained_on_after_their_folder_is_gone(tmp_path):
    data = load(write_images(tmp_path / "pets", ["cat", "dog"], count=6))
    shutil.rmtree(tmp_path / "pets")
    assert check_fit(data, steps=1, batch_size=10).config["data"] == data.name


def test_trials_say_what_was_done_to_the_images(tmp_path, monkeypatch, capsys):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(40):
            keras.utils.save_img(tmp_path / "pets" / name / f"{i}.png", np.zeros((8, 12, 3)))
    stop = RuntimeError("loaded")
    monkeypatch.setattr(trials, "make_folders", lambda *_: (_ for _ in ()).throw(stop))
    monkeypatch.setattr(trials, "load_test_split", lambda data, *_: data)
    for verbose in (True, False):
        with pytest.raises(RuntimeError, match="loaded"):
            trials.run_trials(tmp_path / "pets", {"a": {"steps": 1, "batch_size": 10}}, tmp_path / "out", size=8, samples=60, verbose=verbose)
        assert ("another shape than 8x8" in capsys.readouterr().out) == verbose


def test_ctrl_c_in_the_second_stage_keeps_the_report(outdir, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    saved = []
    monkeypatch.setattr("acgan_nb.evaluation.evaluate", lambda *_, **__: {"measured": 1})
    monkeypatch.setattr("acgan_nb.report.save_report", lambda run, report, *_: saved.append(report) or "page")
    monkeypatch.setattr("acgan_nb.tables.summary", str)
    monkeypatch.setattr("acgan_nb.runs.run_data", lambda *_, **__: None)
    monkeypatch.setattr(cli, "_two_stage", stopped)
    done = CliRunner().invoke(main, ["evaluate", str(outdir), "--two-stage"])
    assert saved == [{"measured": 1}] and done.exit_code == 130
    assert done.stderr == "acgan: interrupted; the report is written, without the two stages\n"


def test_names_of_classes_in_lines_are_one_line():
    done = CliRunner().invoke(main, ["train", "digits", "--classes", "a\nb\rc"])
    assert done.exit_code == 2 and "is no list with commas" in done.stderr and done.stderr.count("\n") == 1


def test_a_full_disk_keeps_the_page_of_the_report(outdir, monkeypatch):
    (outdir / "report.html").write_text("of an earlier report")
    report = tables.read_report(storage.results_folder("digits"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("acgan_nb.report.write_json", full)
    with pytest.raises(OSError, match="No space left"):
        save_report(load_run(outdir), report, Dataset(*DATA))
    assert (outdir / "report.html").read_text() == "of an earlier report"


def test_memory_is_counted_before_images_are_read(monkeypatch):
    "Of a TFDS data set of mixed sizes, and for the channels that there are."
    monkeypatch.setattr(os, "sysconf", lambda name: 2**12)  # 16 MiB
    mixed = tf.data.Dataset.from_generator(
        lambda: ((np.zeros((s, s, 3), "uint8"), 0) for s in (8, 9)),
        output_signature=(tf.TensorSpec((None, None, 3), tf.uint8), tf.TensorSpec((), tf.int64)))
    said = line(lambda: tfds_module._collect(mixed, (64, 64), False, count=10_000))
    assert said.startswith("10,000 images would take 0 GiB, more than half of this machine's 0")
    grey = np.zeros((40, 8, 8, 1), "uint8")
    monkeypatch.setattr(os, "sysconf", lambda name: 2**9)  # 256 KiB
    assert sources_module.resize(grey, 48).shape == (40, 48, 48, 1)
    assert "would take" in line(lambda: sources_module.resize(grey.repeat(3, -1), 48))


@pytest.mark.parametrize("out", ["grid.jpg", "file/samples", "file/grid.png"])
def test_a_place_for_samples_is_checked_before_they_are_made(out, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(cli, "start_backend", lambda: 1 / 0)
    done = CliRunner().invoke(main, ["sample", "digits", "--out", out])
    assert done.exit_code == 2 and done.stderr.count("\n") == 1, done.output


def test_a_stream_is_refused_by_trials_unread():
    def never():
        raise AssertionError("it was read")
        yield

    signature = tf.TensorSpec((2, 8, 8, 1), tf.uint8), tf.TensorSpec((2,), tf.int64)
    stream = tf.data.Dataset.from_generator(never, output_signature=signature)
    assert "in memory, got a stream" in line(lambda: trials.run_trials(stream, {"a": {"steps": 1}}, "nowhere"))


@pytest.mark.parametrize("labels, said", [
    ([0.0, 1.0, np.nan, 1.0], "labels contain NaN; the class id of an unlabelled image is -1"),
    (["cat", "dog", np.nan, "dog"], "and none may be missing"),
])
def test_labels_that_are_missing(labels, said):
    assert said in line(lambda: Dataset(PIXELS[:4], labels))


def test_a_report_is_saved_with_what_it_was_made_with(tmp_path):
    run, digits = load_pretrained("digits"), load("digits")
    report, run.outdir = tables.read_report(run.outdir), tmp_path
    assert save_report(run, report, (digits.images, digits.labels)).exists()
    assert "not a stream" in line(lambda: save_report(run, report, tf.data.Dataset.range(3)))


def test_plots_are_checked_before_the_first_is_drawn(outdir):
    done = CliRunner().invoke(main, ["plot", str(outdir), "--coordinate", "500"])
    assert done.exit_code == 2 and "coordinate must be a whole number" in done.stderr
    assert not (outdir / "curves.png").exists()
    last = load_run(outdir).config["latent_dim"] - 1
    assert CliRunner().invoke(main, ["plot", str(outdir), "--coordinate", str(last)]).exit_code == 0


def test_pretrained_generators_are_compared_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["compare", "digits", "cifar10_50k"])
    assert said.exit_code == 0 and {"digits", "cifar10_50k"} <= set(said.output.split("\n")[0].split())
    said = CliRunner().invoke(main, ["compare", "digit"])
    assert said.exit_code == 2 and "no run in 'digit'" in said.stderr and "digits" in said.stderr.split(":", 1)[1]


def test_commands_that_are_advised_can_be_typed(tmp_path):
    (folder := tmp_path / "my run").mkdir()
    said = line(lambda: tables.read_report(folder), FileNotFoundError)
    assert shlex.split(said.partition("run acgan ")[2])[-1] == str(folder)


def test_only_trials_that_have_begun_have_a_bar(tmp_path, monkeypatch):
    class Ray:
        "Its first task ends at once, the second when it is asked again."
        wait = staticmethod(lambda tasks, timeout: (tasks[:1], tasks[1:]))
        get = staticmethod(lambda task: None)

    monkeypatch.setattr(cluster, "error_line", lambda ray, task: "")
    monkeypatch.setattr(cluster, "_cancel", lambda *_: None)
    board, seen = cluster.ProgressBoard(tmp_path, {"a": 5, "b": 5, "c": 5}, verbose=False), []
    monkeypatch.setattr(cluster.ProgressBoard, "finish", lambda self, name, state: seen.append([*self.bars]))
    RunDirectory(tmp_path / "c").prepare()
    RunDirectory(tmp_path / "c").write_history(dict.fromkeys(new_history(False), [1]))
    cluster.run_tasks(Ray, {name: (lambda name=name: name) for name in "abc"}, 3, board)
    assert seen == [[], ["c"], ["c"]]


def test_links_to_the_source_are_those_of_the_class_that_is_meant():
    from acgan_nb import docs

    for module, name in (("models", "SpectralNorm.call"), ("models", "ActivationNoise.call"),
                         ("directory", "RunDirectory.read_history"), ("directory", "read_history")):
        path, _, number = docs._source_url(f"acgan_nb.{module}", name).partition("#L")
        code = (Path(docs.__file__).parent / Path(path).name).read_text().splitlines()
        start = "\n".join(code[int(number) - 1 : int(number)])
        owner, _, method = name.rpartition(".")
        assert f"def {method}(" in start and (f"self: {owner}" in start) == bool(owner), start


def test_measures_take_images_with_channels_first():
    judge, test = load_judge("digits"), load("digits", "test")
    few = test.images[:200], test.labels[:200].tolist()
    usual, turned = (evaluation.compute_measures(x, few[1], test, judge, pairs=1)
                     for x in (few[0], np.moveaxis(few[0], -1, 1)))
    assert usual == turned and usual["resolution"]["sizes"] == [2, 4, 8]


def test_rows_of_real_and_generated_images_are_of_one_class(monkeypatch):
    "Whatever the order of the classes in the data."
    asked = []
    run = SimpleNamespace(config={"class_names": list("0123456789")},
                          sample=lambda labels, seed: asked.append(list(labels)) or np.zeros((len(labels), 8, 8, 1), "uint8"))
    plots.real_and_generated(load("digits", classes=[7, 3]), run, columns=1)
    assert asked == [[7, 3]]


def test_unlabelled_test_images_do_not_end_gan_train():
    data = load("digits", "test")
    few = Dataset(data.images[:60], np.where(np.arange(60) < 50, data.labels[:60], -1), data.class_names)
    found = gan_train(lambda seed: data, few, seeds=1, steps=1)
    assert len(found["gan_train_by_class"]) == 10


@pytest.mark.parametrize("about", [None, {"class_names": ["a", "b"], "channels": 1}])
def test_a_judge_without_a_record_is_not_saved(about, tmp_path):
    judge = dataclasses.replace(load_judge("digits"), about=about, name="mine")
    assert "no record of its training" in line(lambda: save_judge(judge, tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_saved_judge_is_that_of_these_class_names(tmp_path):
    recipe = Recipe("x", 8, (2,), steps=1)
    first = judge_for(Dataset(PIXELS, LABELS, "abcd"), tmp_path, recipe)
    other = Dataset(PIXELS, LABELS, ["cat", "dog", "cow", "owl"])
    assert not first.fits(other) and judge_for(other, tmp_path, recipe).fits(other)


def test_names_in_sheets_and_curves_are_taken_as_they_are():
    fig = plots.labelled_sheet(np.zeros((4, 4)), [r"$\frac$"], {r"$\bad": 0.5})
    fig.savefig(io.BytesIO())
    assert "not 'other'" in line(lambda: plots.resolution_curves([4], real=([1], [0]), other=([1], [0])))
    data = Dataset(PIXELS, np.where(LABELS == 1, 0, LABELS), "abcd")
    assert "no image of class 1" in line(lambda: metrics.control("swapped", data, [0]))


# --- what a call or a command says and keeps ---


def stopped(**options):
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(train.Stopped) as caught:
        fit(DATA, steps=9, batch_size=20, verbose=False, callbacks=[stop], **options)
    return str(caught.value)


def test_a_stopped_call_that_begins_anew_is_not_advised(tmp_path):
    assert "; the same call goes on from there" in stopped(outdir=tmp_path / "a")
    said = stopped(outdir=tmp_path / "b", resume=False)
    assert "the same call, without resume=False or --no-resume, goes on from there" in said


def test_a_callback_that_fails_at_the_end_loses_no_step(tmp_path):
    def fail(logs=None):
        raise ConnectionError("no network")

    with pytest.raises(ConnectionError):
        fit(DATA, outdir=tmp_path, callbacks=keras.callbacks.LambdaCallback(on_train_end=fail), **FEW)
    assert RunDirectory(tmp_path).find_checkpoint().step == FEW["steps"]
    assert fit(DATA, outdir=tmp_path, **FEW).step == FEW["steps"]


def test_classes_in_another_order_are_the_same_images_from_a_folder_and_from_a_data_set(tmp_path):
    "So the judge of a sweep is that of its evaluation."
    write_images(tmp_path, ["cat", "dog", "hen"])
    for classes in (["dog", "cat"], ["hen", "dog", "cat"]):
        of_folder, of_data = load(tmp_path, classes=classes), load(tmp_path).subset(classes)
        assert of_folder.fingerprint == of_data.fingerprint and of_folder.class_names == tuple(classes)
        np.testing.assert_array_equal(of_folder.images, of_data.images)


def test_warnings_of_a_trial_are_heard_where_the_sweep_runs(tmp_path, monkeypatch):
    def collapse(*_, **__):
        warnings.warn("step 4: collapse of class 3", CollapseWarning, stacklevel=2)

    monkeypatch.setattr(sweeps, "fit", collapse)
    said = sweeps._run_trial(Dataset(*DATA), None, tmp_path / "a", {}, None)
    assert said == ["step 4: collapse of class 3"]
    ray = SimpleNamespace(wait=lambda tasks, timeout: (tasks, []), get=list)
    board = SimpleNamespace(finish=lambda *_: None, close=lambda: None)
    with pytest.warns(UserWarning, match="^a: step 4: collapse of class 3$"):
        assert cluster.run_tasks(ray, {"a": lambda: tuple(said)}, 1, board) == {"a": ""}


def test_arrays_with_a_name_of_their_own_are_asked_for(tmp_path):
    run = fit(Dataset(*DATA, name="cats"), **FEW)
    said = line(lambda: runs.run_data(run))
    assert "no dataset 'cats'" in said and said.endswith("; if this run's data were arrays called 'cats', give them")


def test_a_process_that_only_helps_needs_no_run_directory_to_write_in(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    asked = []
    monkeypatch.setattr("acgan_nb.devices.join_processes", lambda: asked.append(1) or (_ for _ in ()).throw(ValueError("joined")))
    command = ["train", "digits", "--outdir", str(tmp_path / "file" / "run")]
    assert "cannot write to outdir" in CliRunner().invoke(main, command).stderr and not asked
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    assert "joined" in CliRunner().invoke(main, command).stderr and asked


def test_settings_of_a_run_whose_start_is_not_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = line(lambda: fit(DATA, config="cifar10_50k", arch="tiny", steps=1), FileNotFoundError)
    assert "no run in 'results/cifar10/continued'" in said and "init=None to start anew" in said


@pytest.mark.parametrize("config", [{"steps": 1}, 5])
def test_settings_are_those_of_a_folder_or_a_file(config):
    assert line(lambda: fit(DATA, config=config)).startswith("config must be a run directory or its config.json, got ")


def test_arrays_that_were_resized_are_resized_again(tmp_path):
    large = PIXELS.repeat(2, axis=1).repeat(2, axis=2), LABELS
    fit(large, size=8, arch="digits", outdir=tmp_path / "a", **FEW)
    again = check_fit(**storage.replayed(tmp_path / "a", {"data": large}))
    assert again.config["image_shape"] == [8, 8, 1] and again.config["steps"] == FEW["steps"]


def test_a_run_is_evaluated_by_its_name():
    found = evaluation.evaluate("digits", samples=50, pairs=3, gan_train_seeds=0)
    assert (found["run"]["name"], found["generated"]["images"]) == ("digits", 50)


def test_ctrl_c_while_the_page_is_drawn(outdir, monkeypatch):
    monkeypatch.setattr("acgan_nb.evaluation.evaluate", lambda *_, **__: {"measured": 1})
    monkeypatch.setattr("acgan_nb.report.save_report", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr("acgan_nb.tables.summary", str)
    monkeypatch.setattr("acgan_nb.runs.run_data", lambda *_, **__: None)
    done = CliRunner().invoke(main, ["evaluate", str(outdir)])
    assert (done.exit_code, done.stderr) == (130, "acgan: interrupted; the report is written, its page is not\n")


def test_what_differs_is_shown(outdir):
    longer = dict(augment="color,translation,cutout")
    fit(DATA, outdir=outdir / "a", augment="color,translation", **FEW)
    with pytest.raises(ValueError, match="augment='color,translation', not augment='color,translation,c"):
        fit(DATA, outdir=outdir / "a", **longer, **FEW)


def test_why_a_list_is_no_array():
    class OnGpu:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

    assert "cuda:0" in line(lambda: fit(([OnGpu(), OnGpu(), OnGpu()], [0, 1, 1])))


def test_compare_leaves_out_what_is_no_run(outdir, tmp_path):
    shutil.copy(storage.results_folder("digits") / "report.json", outdir)
    (tmp_path / "sweep.json").write_text("{}")
    (tmp_path / "notes").mkdir()
    with pytest.warns(UserWarning, match="left out: no run in .*/notes'"):
        said = CliRunner().invoke(main, ["compare", *map(str, sorted(tmp_path.iterdir()))])
    assert said.exit_code == 0 and "GAN-test" in said.output
    alone = CliRunner().invoke(main, ["compare", str(tmp_path / "notes")])
    assert alone.exit_code == 2 and "no run in" in alone.stderr


def test_a_tilde_that_the_shell_left(outdir, monkeypatch):
    monkeypatch.setenv("HOME", str(outdir.parent))
    done = CliRunner().invoke(main, ["sample", "~/run", "--count", "1"])
    assert done.exit_code == 0 and (outdir / "sample.png").exists()


def test_figures_of_the_command_line_need_no_display():
    code = "from acgan_nb.cli import main; main(['data', 'digits'], standalone_mode=False); import matplotlib; print(matplotlib.get_backend())"
    env = {**os.environ, "MPLBACKEND": "module://no_such_backend"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.split()[-1] == "agg", done.stderr


def test_without_room_for_temporary_files_a_greeting_is_dropped(monkeypatch, capfd):
    from acgan_nb import terminal

    def full(*_, **__):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(terminal.tempfile, "TemporaryFile", full)
    with terminal._held_back():
        os.write(2, b"a greeting")
    assert capfd.readouterr().err == ""
