"The JAX backend, where TensorFlow is not installed: what jax_child.py found, judged here."

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax_child
import numpy as np
import pytest

from acgan_nb.runs import load_run
from acgan_nb.train import fit

CHILD = Path(__file__).with_name("jax_child.py")
CHECKS = ("one_step", "later_step", "resumed", "parallel", "compilations", "keras_fit", "judge_rates", "zero_embedding", "errors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jax")


@pytest.fixture(scope="module")
def found(folder):
    pytest.importorskip("jax")
    command = [sys.executable, "-W", "ignore", str(CHILD), str(folder), *CHECKS]
    done = subprocess.run(command, capture_output=True, text=True, env=cached(folder))
    assert done.returncode == 0, done.stderr[-2000:]
    return {k: v for line in done.stdout.splitlines() for k, v in json.loads(line).items()}


def cached(folder):
    "XLA keeps what it compiled: most checks here train the same two players."
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
    cache |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return {**os.environ, **cache}


def test_the_gradient_of_an_embedding_of_zero_is_finite(found):
    assert found["zero_embedding"] == [True, True]


@pytest.mark.parametrize("step", ["one_step", "later_step"])
def test_one_step_agrees_with_tensorflow(step, found, folder):
    "Same weights, images, latents and classes; no dropout: the same gradients and statistics."
    logs = getattr(jax_child, step)(folder)
    assert found[step].keys() == logs.keys()
    for name, value in logs.items():
        assert found[step][name] == pytest.approx(value, rel=1e-5), name
    ours, theirs = (np.load(folder / p) for p in ("tensorflow.npz", f"{step}/jax.npz"))
    assert ours.files == theirs.files
    for name in ours.files:
        np.testing.assert_allclose(theirs[name], ours[name], rtol=1e-5, atol=1e-6)


def test_resume_is_exact_and_portions_do_not_matter(found):
    resumed = found["resumed"]
    assert resumed["halves"] == 0 and resumed["history"] is True
    assert resumed["portions"] < 1e-2
    assert {"checkpoint", "config.json", "samples.gif"} <= set(resumed["files"])
    assert "jax" in resumed["backend"] and "tensorflow" not in resumed["backend"]


def test_a_run_can_change_its_backend(found, folder, tmp_path):
    "Trained with JAX, perhaps on a GPU elsewhere; sampled and trained on with TensorFlow here."
    outdir = tmp_path / "moved"
    shutil.copytree(folder / "resumed" / "whole", outdir)
    samples = load_run(outdir).sample(3, count=2)
    assert samples.shape == (2, 8, 8, 1) and samples.dtype == np.uint8
    assert abs(samples.astype(int) - found["resumed"]["sample"]).max() <= 1
    more = fit(jax_child.DATA, steps=8, outdir=outdir, **jax_child.AUGMENTED)
    assert more.history["step"] == [3, 6, 8]
    assert "tensorflow" in more.config["versions"] and np.isfinite(more.history["g_loss"]).all()


def test_four_devices_do_what_one_does(found):
    assert found["parallel"]["devices"] == [[1], [4]]
    assert found["parallel"]["far"] < 1e-2


def test_a_step_is_compiled_once(found):
    assert found["compilations"] == [1, 1, 1]


def test_keras_own_fit_and_saving(found):
    result = found["keras_fit"]
    assert np.isfinite(result["d_loss"]).all() and result["same"] is True
    before, after, same, iterations = result["d_optimizer"]
    assert before == after and same is True and iterations == 8


def test_validation_changes_nothing(found):
    first, second = found["keras_fit"]["validation"]
    assert first == second and np.isfinite([*first.values()]).all() and "class_real" in first
    assert found["keras_fit"]["unchanged"] is True


def test_judges_are_trained_by_their_schedule(found):
    "Keras' JAX trainer holds the rate in its own state: what is assigned past it has no effect."
    rates = found["judge_rates"]["rates"]
    assert len(set(rates)) == 4 and found["judge_rates"]["last"] == pytest.approx(rates[-1])


@pytest.mark.parametrize(
    "i, start",
    [
        (0, "batch_size 40 cannot be shared by 3 devices"),
        (1, "devices=5, but there are 4: cpu:0, cpu:1, cpu:2, cpu:3"),
        (2, "devices must be a whole number at least 1 and below 2147483648, got 0"),
        (3, "ImportError: 'mnist' is read by TensorFlow Datasets: pip install tensorflow"),
    ],
)
def test_errors_are_one_line(i, start, found):
    assert found["errors"][i].startswith(start) and "\n" not in found["errors"][i]
