"Several devices share each batch: what devices_child.py found, judged here."

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CHILD = Path(__file__).with_name("devices_child.py")
ON_TENSORFLOW = ("same_steps", "randomness", "resumed", "exact", "errors")


def start(folder, *checks, name="said", **environment):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", str(CHILD), str(folder), *checks]
    files = {k: open(folder / f"{name}.{k}", "w") for k in ("stdout", "stderr")}
    child = subprocess.Popen(command, env={**os.environ, **environment}, **files)
    child.said = folder / name
    return child


def finish(*children):
    "What each of them found."
    try:
        for child in children:
            child.wait(timeout=300)
    finally:
        for child in children:
            child.kill()
    for child in children:
        assert child.returncode == 0, child.said.with_suffix(".stderr").read_text()[-3000:]
    return [found(child.said.with_suffix(".stdout").read_text()) for child in children]


def found(text):
    lines = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return {name: value for line in lines for name, value in line.items()}


@pytest.fixture(scope="module")
def on_tensorflow(tmp_path_factory):
    return finish(start(tmp_path_factory.mktemp("tensorflow"), *ON_TENSORFLOW))[0]


def test_two_devices_do_what_one_does(on_tensorflow):
    "Means over a batch with unlabelled images, clipped gradients, batch statistics: all of it."
    result = on_tensorflow["same_steps"]["whole batch"]
    assert result["far"] < 1e-5 and result["logs"] < 1e-5
    assert max(result["norms"]) > 0.5  # so that clipping did something


def test_batch_statistics_per_device_are_others(on_tensorflow):
    assert on_tensorflow["same_steps"]["per device"]["far"] > 1e-3


def test_a_step_is_traced_once(on_tensorflow):
    assert [result["traced"] for result in on_tensorflow["same_steps"].values()] == [1, 1]


def test_devices_drop_other_units_but_share_one_draw(on_tensorflow):
    result = on_tensorflow["randomness"]
    assert result["masks differ"] and result["the first is one device's"]
    assert result["shares"] == [4, 4] and all(result["draws"])
    assert result["samples"] == 2_600


def test_a_run_can_change_its_number_of_devices(on_tensorflow):
    "In the middle of a row of the history, so that the running means are taken along."
    same(on_tensorflow["resumed"]["histories"])
    assert on_tensorflow["resumed"]["sample"]


def same(histories):
    "Whether two or more histories agree to rounding."
    first, *others = histories
    assert first["step"] and len(first["frechet_distance"]) == len(first["step"])
    for other in others:
        assert other.keys() == first.keys()
        for name, values in first.items():
            np.testing.assert_allclose(other[name], values, rtol=1e-4, err_msg=name)


def test_resume_is_exact_on_two_devices(on_tensorflow):
    assert on_tensorflow["exact"] == 0


def test_errors_are_one_line(on_tensorflow):
    wanted = "devices=3, but there are 2: cpu:0, cpu:1"
    assert on_tensorflow["errors"] == [wanted, "batch_size 41 cannot be shared by 2 devices"]


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    "JAX: two processes with a device each, and one process with two."
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("jax")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    jax = dict(KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", JAX_DISABLE_MOST_OPTIMIZATIONS="1")
    jax |= dict(JAX_CPU_COLLECTIVES_IMPLEMENTATION="gloo", XLA_FLAGS="")
    jax |= dict(JAX_COMPILATION_CACHE_DIR=str(folder / "cache"))
    jax |= dict(JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0")
    meet = dict(KERAS_DISTRIBUTION_JOB_ADDRESSES=address, KERAS_DISTRIBUTION_NUM_PROCESSES="2")
    pair = [
        start(folder / "pair", "together", "occupied", name=i, KERAS_DISTRIBUTION_PROCESS_ID=i, **meet, **jax)
        for i in ("0", "1")
    ]
    two = "--xla_force_host_platform_device_count=2"
    pair = finish(*pair)
    tasks = "together", "refused", "occupied"
    alone = finish(start(folder / "alone", *tasks, **{**jax, "XLA_FLAGS": two}))
    for child, where in zip((*pair, *alone), ("pair/0", "pair/1", "alone/0")):
        place, number = where.split("/")
        child["weights"] = np.load(folder / place / "together" / f"weights{number}.npy")
    return *pair, *alone


def test_two_processes_do_what_one_does(processes):
    assert [p["together"]["process"] for p in processes] == [[0, 2], [1, 2], [0, 1]]
    same([p["together"]["history"] for p in processes])
    first, second, alone = (p["weights"] for p in processes)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, alone, atol=1e-5)


def test_one_process_writes_and_can_sample_alone(processes):
    first, second, alone = (p["together"] for p in processes)
    assert first["files"] == second["files"] == alone["files"]
    assert {"checkpoint", "best.weights", "samples.gif", "history.csv"} <= set(first["files"])
    assert abs(np.subtract(first["sample"], alone["sample"])).max() <= 1


def test_a_run_directory_refused_to_the_first_process_is_refused_to_all(processes):
    first, second, alone = (p["occupied"] for p in processes)
    assert "cannot write to outdir" in first[1] and "cannot write to outdir" in alone[1]
    assert (first[0], alone[0]) == ("OSError", "NotADirectoryError")  # alone it is refused before data are read
    assert second == ["ValueError", "the first process was refused; its message says why"]


def test_jax_refuses_statistics_per_device(processes):
    wanted = "synchronized_batch_norm=False needs the TensorFlow backend or devices=1"
    assert processes[2]["refused"] == wanted
