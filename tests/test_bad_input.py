"Bad input is one clear line, raised before any training step."

import os
import shlex
import shutil
import sys
from functools import partial
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import acgan_nb.plan
import acgan_nb.train
from acgan_nb.cli import main
from acgan_nb.data import Dataset, hide_labels, load
from acgan_nb.evaluation import evaluate
from acgan_nb.plots import latent_sweep, real_and_generated, training_curves
from acgan_nb.runs import run_data
from acgan_nb.train import fit, load_run

PIXELS = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1)).astype("uint8")
FLOATS = PIXELS / np.float32(127.5) - 1
LABELS = np.arange(200) % 4
DATA = PIXELS, LABELS


GONE = {"checkpoint": None, "checkpoint.previous": None}
SPOILED = {  # run: how its files differ from the good one's, None = missing
    "cut": dict.fromkeys(("checkpoint", "checkpoint.previous"), lambda old: old[:999]),
    "cut_weights": {**GONE, "generator.weights": lambda old: old[:999]},
    "no_weights": {**GONE, "generator.weights": None},
    "bad_config": {**GONE, "config.json": lambda old: b"{"},
    "bare_config": {"config.json": lambda old: b"{}"},
    "cut_history": {"history.csv": lambda old: old + b"4,0.1"},
    "other_size": {"config.json": lambda old: old.replace(b'dim": 100', b'dim": 99')},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    "A directory with folders of images and runs, good and broken, and the good run."
    root = tmp_path_factory.mktemp("place")
    (root / "empty").mkdir()
    (root / "a_file").write_text("in the way")
    for folder in ("good", "gap", "broken"):
        for name in ("cat", "dog"):
            (root / folder / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(root / folder / name / "1.png")
    (root / "gap" / "dog" / "1.png").rename(root / "gap" / "dog" / "1.txt")
    (root / "broken" / "dog" / "2.jpg").write_bytes(b"\xff\xd8 not a JPEG")
    run = fit(DATA, steps=3, outdir=root / "run", verbose=False)
    for name, files in SPOILED.items():
        shutil.copytree(run.outdir, root / name)
        for path, change in ((root / name / file, change) for file, change in files.items()):
            path.write_bytes(change(path.read_bytes())) if change else path.unlink()
    return root, run


@pytest.fixture(autouse=True)
def no_training(place, monkeypatch):
    monkeypatch.chdir(place[0])
    monkeypatch.setattr(acgan_nb.train, "run_steps", lambda *_: pytest.fail("training began"))


def check(call, error, fragment):
    with pytest.raises(Exception) as caught:
        call()
    line = str(caught.value)
    assert caught.type is error and fragment in line
    assert "\n" not in line and len(line) < 300



def rows(table):
    return [pytest.param(*row, id=i) for i, row in table.items()]


DATASETS = {  # images, labels, class names; fragment
    "label too high": (PIXELS, LABELS, "abc", "label 3 is out of range: 0..2"),
    "label too low": (PIXELS, LABELS - 2, None, "label -2 is out of range"),
    "label absurdly high": (PIXELS[:2], [0, 10**6], None, "label 1000000 of only 2 images: give class_names"),
    "labels float": (PIXELS, LABELS / 2, None, "integer class ids, got float64"),
    "labels of two kinds": (PIXELS[:2], ["cat", 1], None, "all names or all class ids"),
    "labels as words, unknown": (PIXELS[:2], ["cat", "dog"], ["cat"], "label 'dog' is none of"),
    "labels not one-hot": (PIXELS, np.ones((200, 4)), None, "rows with one 1 and else 0, got shape"),
    "labels one-hot, too many": (PIXELS, np.eye(4)[LABELS], "abc", "4 columns for 3 classes"),
    "labels too few": (PIXELS, LABELS[1:], None, "(200,) class ids, got shape (199,)"),
    "no label at all": (PIXELS, 0 * LABELS - 1, None, "no labelled image"),
    "names repeated": (PIXELS, LABELS, "abca", "'a'"),
    "images flat": (PIXELS.reshape(200, 64), LABELS, None, "1 or 3), got shape (200, 64)"),
    "images with alpha": (np.zeros((4, 8, 8, 4), "uint8"), LABELS[:4], None, "images[..., :3]"),
    "images none": (PIXELS[:0], LABELS[:0], None, "got shape (0, 8, 8, 1)"),
    "images of two sizes": ([PIXELS[0], PIXELS[1, 1:]], [0, 1], None, "all have the same size"),
    "images of 12 bits": (PIXELS.astype("uint16") * 16, LABELS, None, "hold values from 0 to 4080, not 0"),
    "images bool": (PIXELS > 9, LABELS, None, "got bool; pass value_range=(0, 1)"),
    "floats 0..255": (PIXELS / 1.0, LABELS, None, "found [0, 255]; pass the values of black and white, such as value_range=(0, 255)"),
    "floats 0..1": (PIXELS / 255, LABELS, None, "images * 2 - 1"),
    "floats NaN": (np.where(PIXELS > 250, np.nan, FLOATS), LABELS, None, "NaN or infinite"),
    "floats infinite": (np.where(PIXELS > 250, np.inf, FLOATS), LABELS, None, "NaN or infinite"),
}


@pytest.mark.parametrize(("images", "labels", "names", "fragment"), rows(DATASETS))
def test_dataset(images, labels, names, fragment):
    check(lambda: Dataset(images, labels, names), ValueError, fragment)


FIT = {  # data, keywords, fragment
    "data unknown, one near": ("fashion_mnits", {}, "did you mean 'fashion_mnist'?"),
    "data unknown, none near": ("qqqqq", {}, "no dataset 'qqqqq'"),
    "data not a name at all": ("no such set", {}, "no such set"),
    "data unknown config": ("imagenet_resized/65x65", {}, "65x65"),
    "data unknown version": ("mnist:9.9.9", {}, "9.9.9"),
    "data not classification": ("wikipedia", {}, "not an image-classification set"),
    "data empty name": ("", {}, "''"),
    "data a number": (42, {}, "data must be a name, a folder"),
    "data without labels": (PIXELS, {}, "data must be a name, a folder"),
    "data three arrays": ((*DATA, DATA), {}, "data must be a name, a folder"),
    "data floats 0..1": ((PIXELS / 255, LABELS), {}, "images * 2 - 1"),
    "data folder empty": ("./empty", {}, "one sub-folder of images per class"),
    "data folder, a class empty": ("./gap", {}, "class folder 'dog' in gap holds no image (.png"),
    "data folder, image unreadable": ("./broken", {}, "cannot read image broken/dog/2.jpg"),
    "data class without image": (Dataset(*DATA, "abcde"), {}, "class 'e' of 'arrays' has no"),
    "data class unlabelled": ((PIXELS, np.where(LABELS == 1, -1, LABELS)), {}, "class '1' of"),
    "data too flat": ((PIXELS[:, :6], LABELS), {}, "not for 6x8; the nearest size is 8x8"),
    "data of zeros and ones": ((PIXELS // 128, LABELS), {}, "hold 0 and 1 alone"),
    "data of no network's size": ((PIXELS[:, :6, :6], LABELS), {}, "for sides of 8 to 1024 pixels, not for 6x6"),
    "arch unknown": (DATA, dict(arch="cifar"), "did you mean 'cifar10'?"),
    "arch of another size": (DATA, dict(arch="cifar10"), "images are 8x8, arch cifar10 needs"),
    "size of no network": (DATA, dict(size=(6, 2000)), "not for 6x2000; the nearest size is 8x1024"),
    "size of another arch": ("digits", dict(size=28, arch="digits"), "that of arch digits, 8x8, got 28x28"),
    "classes of arrays": (DATA, dict(classes=[9]), "no class 9: ids are 0..3"),
    "value range": (DATA, dict(value_range=(1, 0)), "value_range must be two numbers such as (0, 4095)"),
    "value range of digits": ("digits", dict(value_range=(0, 1)), "is for folders and arrays"),
    "callbacks no callbacks": (DATA, dict(callbacks=[print]), "callbacks must be Keras callbacks"),
    "joint statistics of nothing": (
        DATA,
        dict(spectral_norm=True, batch_statistics="joint"),
        "batch_statistics='joint' has no effect",
    ),
    "size too small": ("digits", dict(size=2), "such as 64, or height and width such as 48x64, got 2; each at least"),
    "size broken": ("digits", dict(size=8.5), "or height and width such as 48x64, got 8.5"),
    "framing unknown": ("digits", dict(framing="squeeze"), "one of 'crop', 'pad', 'stretch', got"),
    "arch of a size that cannot be": (DATA, dict(arch="image4x64"), "the nearest size is 8x64"),
    "arch of another size, made": (DATA, dict(arch="image16x8"), "images are 8x8, arch image16x8 needs 16x8"),
    "classes unknown": ("digits", dict(classes=[3, "dog"]), "no class 'dog': ids are 0..9"),
    "classes repeated": ("digits", dict(classes=[3, "3"]), "without repeats"),
    "classes empty": ("digits", dict(classes=[]), "non-empty list"),
    "classes not a list": ("digits", dict(classes=3), "classes"),
    "batch 0": (DATA, dict(batch_size=0), "batch_size must be a whole number at least 1 and below 2147483648, got 0"),
    "batch beyond the data": (DATA, dict(batch_size=201), "batch_size must be in 1..200"),
    "batch broken": (DATA, dict(batch_size=9.5), "batch_size must be a whole number at least 1"),
    "batch as a word": (DATA, dict(batch_size="10"), "got '10'"),
    "batch True": (DATA, dict(batch_size=True), "batch_size must be"),
    "epochs 0": (DATA, dict(epochs=0), "epochs must be a whole number at least 1 and"),
    "epochs and steps": (DATA, dict(epochs=1, steps=1), "give epochs or steps, not both"),
    "steps 0": (DATA, dict(steps=0), "steps must be a whole number at least 1 and"),
    "steps broken": (DATA, dict(steps=1.5), "steps must be a whole number at least 1 and"),
    "steps as a word": (DATA, dict(steps="9"), "below 2147483648, got '9'"),
    "lr 0": (DATA, dict(learning_rate=0), "learning_rate must be a number above 0, got 0"),
    "lr negative": (DATA, dict(learning_rate=-1e-4), "learning_rate must be a number above 0"),
    "lr NaN": (DATA, dict(learning_rate=np.nan), "learning_rate must be a number above 0, got nan"),
    "lr infinite": (DATA, dict(learning_rate=np.inf), "learning_rate must be a number above 0"),
    "lr of D negative": (DATA, dict(d_learning_rate=-1), "d_learning_rate must be a number"),
    "beta1 1": (DATA, dict(beta_1=1), "beta_1 must be a number at least 0 and below 1, got 1"),
    "ema 1": (DATA, dict(ema=1), "ema must be a number at least 0 and below 1, got 1"),
    "latent_dim 0": (DATA, dict(latent_dim=0), "latent_dim must be a whole number at least 1"),
    "latent_dim 10.0": (DATA, dict(latent_dim=10.0), "latent_dim must be a whole number"),
    "seed negative": (DATA, dict(seed=-1), "seed must be a whole number at least 0 and below"),
    "seed 1.0": (DATA, dict(seed=1.0), "seed must be a whole number"),
    "noise negative": (DATA, dict(activation_noise=-0.1), "activation_noise must be a number"),
    "log_every 0": (DATA, dict(log_every=0), "log_every must be a whole number at least 1"),
    "latent_dim absurd": (DATA, dict(latent_dim=10**9), "at least 1 and below 65536, got 1000"),
    "save_every 0": (DATA, dict(save_every=0), "save_every must be a whole number at least 1"),
    "save_minutes 0": (DATA, dict(save_minutes=0), "save_minutes must be a number above 0"),
    "clip_norm negative": (DATA, dict(clip_norm=-1), "clip_norm must be a number at least 0"),
    "divergence, no choice": (DATA, dict(on_divergence="pray"), "one of 'stop', 'rollback'"),
    "rollback to nowhere": (DATA, dict(on_divergence="rollback"), "needs an outdir"),
    "collapse unseen": (DATA, dict(on_collapse="stop"), "needs evaluate_every"),
    "steps per execution 0": (DATA, dict(steps_per_execution=0), "steps_per_execution must be"),
    "devices 0": (DATA, dict(devices=0), "devices must be a whole number at least 1 and below 2147483648, got 0"),
    "devices 99": (DATA, dict(devices=99), "devices=99, but there are"),
    "statistics as a word": (DATA, dict(synchronized_batch_norm="yes"), "True, False, got 'yes'"),
    "switch unknown": (DATA, dict(class_wieght=1), "did you mean 'class_weight'?"),
    "switch unknown, none near": (DATA, dict(qq=1), "no option 'qq'; switches: linear,"),
    "switch of no choice": (DATA, dict(latent="cauchy"), "must be one of 'normal', 'uniform'"),
    "switch not a bool": (DATA, dict(class_loss_on_fake="yes"), "one of True, False, got 'yes'"),
    "class weight negative": (DATA, dict(class_weight=-1), "class_weight must be a number"),
    "class weight of G": (DATA, dict(g_class_weight=-1), "g_class_weight must be a number"),
    "class head unknown": (
        DATA, dict(class_head="sngan"), "one of 'acgan', 'adc', 'd2d_ce', 'projection', 'tac', got"),
    "ADC without fakes": (
        DATA, dict(class_head="adc", class_loss_on_fake=False), "'adc' needs class_loss_on_fake=True"),
    "augment, no choice": (DATA, dict(augment="colour"), "augment must be one of 'none', 'color',"),
    "flip a number": (DATA, dict(flip=1.5), "flip must be one of True, False, got 1.5"),
    "R1 negative": (DATA, dict(r1=-1), "r1 must be a number at least 0"),
    "TAC without fakes": (
        DATA, dict(class_head="tac", class_loss_on_fake=False), "'tac' needs class_loss_on_fake=True"),
    "spectral norm a number": (DATA, dict(spectral_norm=1.5), "spectral_norm must be one of True,"),
    "evaluate_every, few labels": (
        hide_labels(load("digits"), 40), dict(evaluate_every=1), "10 pairs need 5"),
    "smoothing 1": (DATA, dict(label_smoothing=1), "label_smoothing must be a number"),
    "another run there": (DATA, dict(outdir="run", seed=1), "with seed=0, not seed=1"),
    "other pixels there": ((255 - PIXELS, LABELS), dict(outdir="run"), "fingerprint="),
    "checkpoint cut short": (DATA, dict(outdir="cut"), "cannot read weights cut/checkpoint"),
    "config not JSON there": (DATA, dict(outdir="bad_config"), "bad_config/config.json"),
}


@pytest.mark.parametrize(("data", "keywords", "fragment"), rows(FIT))
def test_fit(data, keywords, fragment):
    check(partial(fit, data, **keywords, verbose=False), ValueError, fragment)


@pytest.mark.parametrize("outdir", ["a_file", "a_file/run", "/proc/acgan", "/dev/null/run"])
def test_outdir_not_writable(outdir):
    error = NotADirectoryError
    if outdir.startswith("/proc"):  # root may write there, it seems
        error = OSError if os.access("/proc", os.W_OK) else PermissionError
    check(partial(fit, DATA, outdir=outdir), error, f"to outdir '{outdir}'")


@pytest.mark.parametrize("installed", [True, False])
def test_tensorboard(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", ModuleType("tensorboard") if installed else None)
    kind, needs = (
        (ValueError, "an outdir")
        if installed
        else (ImportError, "tensorboard, which is not installed: pip install 'tensorboard'")
    )
    check(partial(fit, DATA, tensorboard=True), kind, f"tensorboard=True needs {needs}")


def test_a_refusal_changes_nothing(place):
    def contents():
        return {p: p.read_bytes() for p in (place[0] / "run").rglob("*") if p.is_file()}

    before = contents()
    check(partial(fit, DATA, outdir="run", ema=0.5), ValueError, "with ema=0.999")
    assert contents() == before


LOAD = {  # arguments, keywords, error, fragment
    "digits, split": (["digits", "dev"], {}, ValueError, "splits train and test, not 'dev'"),
    "folder, split": (["./good", "test"], {}, ValueError, "good has no sub-folder 'test'"),
    "folder missing": (["./nowhere"], {}, FileNotFoundError, "no folder './nowhere'"),
    "folder is a file": (["./a_file"], {}, FileNotFoundError, "no folder './a_file'"),
    "folder holds images": (["./good/cat"], {}, ValueError, "needs one sub-folder of images"),
    "folder, class": (["./good"], dict(classes=["cow"]), ValueError, "names cat, dog"),
    "class too high": (["digits"], dict(classes=[10]), ValueError, "no class 10: ids are 0..9"),
    "class negative": (["digits"], dict(classes=[-1]), ValueError, "no class -1: ids are 0..9"),
    "class, a digit of its own": (["digits"], dict(classes=["²"]), ValueError, "no class '²'"),
    "size 0": (["digits"], dict(size=0), ValueError, "height and width such as 48x64, got 0; each at least 4"),
    "size as a word": (["digits"], dict(size="big"), ValueError, "as 48x64, got 'big'; each at least 4"),
    "size 16.0": (["digits"], dict(size=16.0), ValueError, "as 48x64, got 16.0; each"),
    "size of three": (["digits"], dict(size=(8, 8, 1)), ValueError, "got (8, 8, 1); each"),
}


@pytest.mark.parametrize(("args", "keywords", "error", "fragment"), rows(LOAD))
def test_load(args, keywords, error, fragment):
    check(partial(load, *args, **keywords), error, fragment)


SAMPLE = {  # arguments of run.sample, fragment
    "label too high": ([4, 1], "label 4 is out of range: class ids are 0..3"),
    "label negative": ([-1, 1], "label -1 is out of range: class ids are 0..3"),
    "label among many": ([[0] * 999 + [4]], "label 4 is out of range"),
    "label float": ([1.0], "labels must be one class id or name or a sequence"),
    "label True": ([True], "labels must be one class id or name or a sequence"),
    "label a word": ([["cat"]], "'cat'"),
    "labels none": ([[]], "labels must be one class id or name or a sequence"),
    "labels in a table": ([[[1, 2], [3, 0]]], "labels must be one class id or name or a sequence"),
    "count 0": ([1, 0], "count must be a whole number at least 1, got 0"),
    "count broken": ([1, 2.5], "count must be a whole number at least 1, got 2.5"),
    "count with several labels": ([[1, 2], 5], "5 images need one class or 5, got 2"),
    "seed of z negative": ([1, 1, -1], "seed must be a whole number at least 0"),
    "seed of z broken": ([1, 1, 1.5], "seed must be a whole number at least 0"),
}


@pytest.mark.parametrize(("args", "fragment"), rows(SAMPLE))
def test_sample(args, fragment, place):
    check(partial(place[1].sample, *args), ValueError, fragment)


RUNS = {  # folder, error, fragment
    "missing": ("nowhere", FileNotFoundError, "no run in 'nowhere': it has no config.json"),
    "not a run": ("good", FileNotFoundError, "no run in 'good': it has no config.json"),
    "a file": ("a_file", FileNotFoundError, "no run in 'a_file'"),
    "checkpoint cut short": ("cut", ValueError, "cannot read weights cut/checkpoint"),
    "weights cut short": ("cut_weights", ValueError, "cannot read weights cut_weights/generator"),
    "no weights": ("no_weights", FileNotFoundError, "'no_weights' has saved no weights yet"),
    "weights of another net": ("other_size", ValueError, "with latent_dim=100, not latent_dim=99"),
    "config not JSON": ("bad_config", ValueError, "bad_config/config.json"),
    "config without a key": ("bare_config", ValueError, "bare_config/config.json"),
}


@pytest.mark.parametrize(("folder", "error", "fragment"), rows(RUNS))
def test_load_run(folder, error, fragment):
    check(partial(load_run, folder), error, fragment)


OTHERS = {  # call on the run, fragment
    "data of arrays": (run_data, "trained on arrays, which cannot be loaded by name"),
    "evaluate none": (lambda run: evaluate(run, samples=0), "samples must be"),
    "evaluate, few": (
        lambda run: evaluate(run, train=Dataset(*DATA), test=Dataset(*DATA), pairs=9999),
        "training images, 142 are needed",
    ),
    "curves of nothing": (lambda run: training_curves({}), "the history is empty"),
    "sweep, coordinate": (lambda run: latent_sweep(run, 100), "coordinate must be a whole number"),
    "sweep, class": (lambda run: latent_sweep(run, classes=[4]), "4"),
    "grid, columns": (lambda run: real_and_generated(Dataset(*DATA), run, 0), "columns must be"),
    "grid, class": (lambda run: real_and_generated(Dataset(*DATA), run, classes=[4]), "4"),
}


@pytest.mark.parametrize(("call", "fragment"), rows(OTHERS))
def test_others(call, fragment, place):
    check(lambda: call(place[1]), ValueError, fragment)


def test_a_row_of_history_cut_short_is_dropped():
    assert load_run("cut_history").history["step"] == [3]


LINES = {  # command line, fragment of the one line
    "data unknown": ("train fashion_mnits", "did you mean 'fashion_mnist'?"),
    "data unknown version": ("train mnist:9.9.9", "9.9.9"),
    "folder missing": ("train ./nowhere", "no folder './nowhere'"),
    "folder, image unreadable": ("train ./broken", "cannot read image broken/dog/2.jpg"),
    "arch": ("train digits --arch cifar", "did you mean 'cifar10'?"),
    "size": ("train digits --size 2", "such as 64, or height and width such as 48x64, got '2'"),
    "size of no network": ("train digits --size 6x64", "not for 6x64; the nearest size is 8x64"),
    "classes": ("train digits --classes 3,dog", "no class 'dog'"),
    "classes repeated": ("train digits --classes 3,3", "without repeats, got ['3', '3']"),
    "epochs": ("train digits --epochs 0", "epochs must be"),
    "epochs and steps": ("train digits --epochs 1 --steps 1", "give epochs or steps, not both"),
    "batch": ("train digits --batch-size 2000", "batch_size must be in 1..1438"),
    "lr": ("train digits --lr nan", "learning_rate must be a number above 0, got nan"),
    "lr of D": ("train digits --lr-d 0", "d_learning_rate must be"),
    "beta1": ("train digits --beta1 1", "beta_1 must be"),
    "noise": ("train digits --activation-noise -1", "activation_noise must be"),
    "smoothing": ("train digits --label-smoothing 1", "label_smoothing must be"),
    "outdir": ("train digits --outdir a_file", "cannot write to outdir 'a_file'"),
    "another run": ("train digits --outdir run", "checkpoint holds a run with"),
    "run missing": ("sample nowhere", "no run in 'nowhere'"),
    "run cut short": ("sample cut", "cannot read weights cut/checkpoint"),
    "run, config": ("sample bare_config", "bare_config/config.json"),
    "label": ("sample run --label 12", "no class '12': ids are 0..3"),
    "label, name": ("sample run --label cat", "no class 'cat': ids are 0..3, names 0, 1"),
    "count": ("sample run --count 0", "count must be"),
    "columns": ("sample run --columns 0", "columns must be"),
    "seed": ("sample run --seed -1", "seed must be"),
    "out": ("sample run --out a_file/x.png", "a_file"),
    "plot, run missing": ("plot nowhere", "no run in 'nowhere'"),
    "evaluate, run missing": ("evaluate nowhere", "no run in 'nowhere'"),
    "evaluate, arrays": ("evaluate run", "trained on arrays"),
    "evaluate, best": ("evaluate run --best", "no best.weights in 'run'"),
    "evaluate, truncation": ("evaluate run --truncation 0", "truncation must be a number above 0"),
    "sample, truncation": ("sample run --truncation -1", "truncation must be a number above 0"),
    "evaluate, features": ("evaluate run --features minst", "no judge 'minst'"),
    "evaluate every, few images": (
        "train ./good --evaluate-every 9 --batch-size 1",
        "10 pairs need 5",
    ),
    "evaluate every": ("train digits --evaluate-every 0", "evaluate_every must be"),
    "save every": ("train digits --save-every 0", "save_every must be"),
    "rollback": ("train digits --clip-norm -1", "clip_norm must be"),
    "compare, no run": ("compare nowhere", "no run in 'nowhere'"),
    "compare, no report": ("compare run", "run acgan evaluate run"),
    "judge unknown": ("judge nobody", "judge must be one of"),
    "data, name": ("data nosuch", "no dataset 'nosuch'"),
    "data, size": ("data digits --size 0", "size must be a number of pixels such as 64, or height"),
    "data, size as a word": ("data digits --size 48x", "as 48x64, got '48x'"),
    "data, split": ("data ./good --split test", "good has no sub-folder 'test'"),
}


@pytest.mark.parametrize(("line", "fragment"), rows(LINES))
def test_command_line(line, fragment):
    result = CliRunner().invoke(main, shlex.split(line))
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2
    assert result.stderr.startswith("acgan: ") and fragment in result.stderr
    assert result.stderr.count("\n") == 1 and len(result.stderr) < 300
    debugged = CliRunner().invoke(main, ["--debug", *shlex.split(line)]).exception
    assert isinstance(debugged, (ValueError, OSError)) and f"acgan: {debugged}\n" == result.stderr


USAGE = ["train", "train digits --nope", "train digits --steps x", "train digits --linear both",
         "sample", "sample run --count x", "data digits --fit big", "nope"]


@pytest.mark.parametrize("line", USAGE)
def test_usage(line):
    result = CliRunner().invoke(main, line.split())
    assert isinstance(result.exception, SystemExit) and result.exit_code == 2
    assert "\nError: " in result.stderr and "Traceback" not in result.stderr
