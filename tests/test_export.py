"""Exported generators: other programs read them, without this package, and get the same images."""

import json
import os
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from acgan_nb import export
from acgan_nb.cli import main
from acgan_nb.export import FORMATS, check_export, export_generator
from acgan_nb.models import build_generator
from acgan_nb.train import load_pretrained

onnx = pytest.importorskip("onnx", reason="needs the extra `export`")
pytest.importorskip("tf2onnx", reason="needs the extra `export`")
NO_LITERT = export._numbers(keras.__version__) < [3, 13]
SHIPPED = "digits", "mnist", "mnist_adc", "cifar10"
ENVIRONMENT = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
READ = """
import sys, warnings
sys.modules["acgan_nb"] = None
warnings.simplefilter("ignore")
import numpy as np, onnxruntime, keras, tensorflow as tf
from pathlib import Path

def read_keras(path):
    model = keras.saving.load_model(path)
    assert [(t.name, t.dtype) for t in model.inputs] == [("z", "float32"), ("labels", "int32")]
    assert {type(layer).__module__.partition(".")[0] for layer in model.layers} == {"keras"}
    return lambda **inputs: model(inputs).numpy()

def read_onnx(path):
    session = onnxruntime.InferenceSession(path)
    about = [(i.name, i.type, i.shape[0]) for i in session.get_inputs() + session.get_outputs()]
    assert about == [("z", "tensor(float)", "batch"), ("labels", "tensor(int32)", "batch"),
                     ("images", "tensor(float)", "batch")], about
    return lambda **inputs: session.run(["images"], inputs)[0]

def read_tflite(path):
    runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    assert {k: v["dtype"] for k, v in runner.get_input_details().items()} == {
        "z": np.float32, "labels": np.int32}
    return lambda **inputs: runner(**inputs)["output_0"]

def read_folder(path):
    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda **inputs: serve(**{k: tf.constant(v) for k, v in inputs.items()})["output_0"].numpy()

folder, inputs = Path(sys.argv[1]), np.load(sys.argv[2])
z, labels = inputs["z"], inputs["labels"]
readers = {".keras": read_keras, ".onnx": read_onnx, ".tflite": read_tflite, "": read_folder}
found = {}
for path in sorted(folder.iterdir()):
    model = readers[path.suffix](path)
    model(z=z[:1], labels=labels[:1])
    found[path.name] = model(z=z, labels=labels)
np.savez(sys.argv[3], **found)
"""


def images_of(generator, z, labels):
    return keras.ops.convert_to_numpy(generator([z, labels], training=False))


@pytest.fixture(scope="module")
def runs():
    return {name: load_pretrained(name) for name in SHIPPED}


@pytest.fixture(scope="module")
def fresh(runs):
    "A run whose generator was never called, and whose weights are no float16 numbers."
    generator = build_generator("digits", label_input="embedding", seed=1)
    return SimpleNamespace(generator=generator, config=runs["digits"].config, step=0)


@pytest.fixture(scope="module")
def inputs(runs):
    return dict(z=runs["digits"].latents(10, seed=3), labels=np.arange(10, dtype="int32"))


@pytest.fixture(scope="module")
def folder(runs, fresh, tmp_path_factory):
    "Every format of digits, ONNX of all others; one file by a shell."
    folder = tmp_path_factory.mktemp("exported")
    code = "from acgan_nb.cli import main; main()"
    command = [sys.executable, "-c", code, "export", "digits", "--format", "onnx"]
    options = dict(cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    done = subprocess.run(command, **options)
    assert (done.returncode, done.stderr) == (0, "") and "digits.onnx: z (B, " in done.stdout
    for path in ("digits.keras", "digits_folder", *["digits.tflite"][NO_LITERT:]):
        assert runs["digits"].export(folder / path) == folder / path
    for name in SHIPPED[1:]:
        runs[name].export(folder / f"{name}.onnx")
    export_generator(fresh, folder / "fresh.onnx")
    return folder


@pytest.fixture(scope="module")
def read(folder, inputs, tmp_path_factory):
    "What a process without this package gets from each file, for one latent and then for ten."
    work = tmp_path_factory.mktemp("read")
    np.savez(work / "inputs.npz", **inputs)
    command = [sys.executable, "-c", READ, folder, work / "inputs.npz", work / "found.npz"]
    done = subprocess.run(map(str, command), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(work / "found.npz"))


litert = pytest.param("digits.tflite", marks=pytest.mark.skipif(NO_LITERT, reason="Keras < 3.13"))


@pytest.mark.parametrize("path", ["digits.keras", litert, "digits_folder"])
def test_other_programs_get_the_same_images(path, read, runs, inputs):
    expected = images_of(runs["digits"].generator, **inputs)
    assert (read[path].shape, read[path].dtype) == (expected.shape, expected.dtype)
    assert abs(read[path] - expected).max() < 1e-5 < expected.std()


@pytest.mark.parametrize("name", [*SHIPPED, "fresh"])
def test_onnx_runtime_gets_the_same_images(name, read, runs, fresh, inputs):
    expected = images_of(runs.get(name, fresh).generator, **inputs)
    assert abs(read[f"{name}.onnx"] - expected).max() < 1e-5 < expected.std()


def about_file(path):
    if path.suffix == ".onnx":
        props = {p.key: p.value for p in onnx.load(path).metadata_props}
        return props | {key: json.loads(props[key]) for key in ("class_names", "step", "settings")}
    if path.is_dir():
        return json.loads((path / "assets.extra" / "settings.json").read_text())
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("settings.json"))


@pytest.mark.parametrize("path", ["digits.keras", "digits.onnx", litert, "digits_folder"])
def test_a_file_knows_its_classes_and_settings(path, folder, runs):
    about, config = about_file(folder / path), runs["digits"].config
    assert about["class_names"] == config["class_names"] and about["step"] == 3000
    assert about["settings"] == {k: v for k, v in config.items() if k != "class_names"}


def test_where_the_training_images_were_is_not_told(runs, tmp_path):
    run = SimpleNamespace(config={**runs["digits"].config, "data": str(tmp_path / "cats")}, step=1)
    assert export.about_run(run)["settings"]["data"] == "cats"


@pytest.mark.parametrize("name", [*SHIPPED, "fresh"])
def test_float16_where_it_loses_nothing(name, folder, runs, fresh):
    "The shipped weights are float16 numbers; those of a new network are not."
    generator, kinds = runs.get(name, fresh).generator, onnx.TensorProto.DataType.Name
    weights = onnx.load(folder / f"{name}.onnx").graph.initializer
    large = {kinds(w.data_type) for w in weights if np.prod(w.dims) > 1000}
    assert large == {"FLOAT" if name == "fresh" else "FLOAT16"}
    size = (folder / f"{name}.onnx").stat().st_size
    assert size < (4.3 if name == "fresh" else 2.2) * generator.count_params()


def test_mixed_precision_becomes_float32(fresh, inputs, tmp_path):
    generator = build_generator("digits", dtype="mixed_bfloat16", seed=1)
    run = SimpleNamespace(generator=generator, config=fresh.config, step=0)
    model = keras.saving.load_model(export_generator(run, tmp_path / "g.keras"))
    same = build_generator("digits", seed=1)
    assert (images_of(model, **inputs) == images_of(same, **inputs)).all()


def test_a_file_is_replaced_at_once_or_not_at_all(folder, runs, tmp_path, monkeypatch):
    path = tmp_path / "g.onnx"
    path.write_bytes(b"before")

    def full(generator, path, about):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setitem(export._WRITERS, "onnx", full)
    with pytest.raises(OSError, match="no space"):
        runs["digits"].export(path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    monkeypatch.setitem(export._WRITERS, "onnx", lambda g, path, about: path.write_bytes(b"new"))
    runs["digits"].export(path)
    assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_only_if_it_was_exported(folder, runs, monkeypatch):
    def small(generator, path, about):
        path.mkdir()
        (path / "new").touch()

    mine = folder.with_name("mine")
    mine.mkdir()
    (mine / "thesis.tex").touch()
    monkeypatch.setitem(export._WRITERS, "saved_model", small)
    with pytest.raises(FileExistsError, match="holds something else"):
        runs["digits"].export(mine)
    assert [p.name for p in mine.iterdir()] == ["thesis.tex"]
    before = folder.with_name("before")
    (before / export.EXTRA).parent.mkdir(parents=True)
    (before / export.EXTRA).touch()
    runs["digits"].export(before)
    assert [p.name for p in before.iterdir()] == ["new"]
    (before / export.EXTRA).parent.mkdir(parents=True)
    (before / export.EXTRA).touch()
    with pytest.raises(FileExistsError, match="before holds something else, 'new'; choose another folder"):
        runs["digits"].export(before)


@pytest.mark.parametrize("missing", ["tf2onnx", "onnx"])
def test_a_missing_converter_is_one_line_before_any_work(missing, runs, tmp_path, monkeypatch):
    find = export.importlib.util.find_spec
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda n: n != missing and find(n) or None)
    monkeypatch.setattr(export, "plain_generator", None)
    line = f"onnx needs {missing}, which is not installed: pip install 'acgan_nb[export]'"
    with pytest.raises(ImportError) as failed:
        runs["digits"].export(tmp_path / "g.onnx")
    assert str(failed.value) == line
    done = CliRunner().invoke(main, ["export", "digits", "--out", str(tmp_path / "g.onnx")])
    assert (done.exit_code, done.stderr) == (2, f"acgan: {line}\n")
    assert check_export(tmp_path / "g.keras") == "keras" and not list(tmp_path.iterdir())


def test_an_old_keras_or_another_backend_is_one_line(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "version", lambda name: "3.12.4")
    with pytest.raises(ImportError, match="^litert needs Keras 3.13 or later, this is 3.12.4$"):
        runs["digits"].export(tmp_path / "g.tflite")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="^onnx is written with KERAS_BACKEND=tensorflow, not w"):
        runs["digits"].export(tmp_path / "g.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_default_path(format, tmp_path, monkeypatch):
    "Beside the other files of a run; and what does not fit is said before Keras is there."
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("acgan_nb.cli.start_backend", lambda: (_ for _ in ()).throw(ValueError("now")))
    done = CliRunner().invoke(main, ["export", str(tmp_path), "--format", format])
    assert done.stderr == "acgan: now\n" or (format == "litert" and NO_LITERT)
    path = export.default_path(tmp_path / "generator", format)
    assert path.parent == tmp_path
    if format != "litert" or not NO_LITERT:
        assert check_export(path, format) == format
    wrong = CliRunner().invoke(main, ["export", str(tmp_path), "--format", format, "--out", "a.png"])
    if format != "saved_model":
        assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1) and wrong.stderr != "acgan: now\n"
