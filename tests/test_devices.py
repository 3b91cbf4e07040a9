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


def start(folder, *checks, **environment):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-W", "ignore", str(CHILD), str(folder), *checks]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen(command, env={**os.environ, **environment}, **pipes)


def finish(*children):
    "What each of them found."
    try:
        said = [child.communicate(timeout=300) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, complaint) in zip(children, said):
        assert child.returncode == 0, complaint[-3000:]
    lines = [[json.loads(t) for t in out.splitlines() if t.startswith("{")] for out, _ in said]
    return [{k: v for found in each for k, v in found.items()} for each in lines]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return finish(start(tmp_path_factory.mktemp("tensorflow"), *ON_TENSORFLOW))[0]


def test_two_devices_do_what_one_does(found):
    "Means over a batch with unlabelled images, clipped gradients, batch statistics: all of it."
    result = found["same_steps"]["whole batch"]
    assert result["far"] < 1e-5 and result["logs"] < 1e-5
    assert max(result["norms"]) > 0.5  # so that clipping did something


def test_batch_statistics_per_device_are_others(found):
    assert found["same_steps"]["per device"]["far"] > 1e-3


def test_a_step_is_traced_once(found):
    assert [result["traced"] for result in found["same_steps"].values()] == [1, 1]


def test_devices_drop_other_units_but_share_one_draw(found):
    result = found["randomness"]
    assert result["masks differ"] and result["the first is one device's"]
    assert result["shares"] == [4, 4] and all(result["draws"])


def test_a_run_can_change_its_number_of_devices(found):
    "In the middle of a row of the history, so that the running means are taken along."
    same(found["resumed"]["histories"].values())
    assert found["resumed"]["sample"]


def same(histories):
    "Whether two or more histories agree to rounding."
    first, *others = histories
    assert first["step"] and len(first["frechet_distance"]) == len(first["step"])
    for other in others:
        assert other.keys() == first.keys()
        for name, values in first.items():
            np.testing.assert_allclose(other[name], values, rtol=1e-4, err_msg=name)


def test_resume_is_exact_on_two_devices(found):
    assert found["exact"] == 0


def test_errors_are_one_line(found):
    wanted = "devices=3, but there are 2: cpu:0, cpu:1"
    assert found["errors"] == [wanted, "batch_size 41 cannot be shared by 2 devices"]


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
    meet = dict(KERAS_DISTRIBUTION_JOB_ADDRESSES=address, KERAS_DISTRIBUTION_NUM_PROCESSES="2")
    pair = [
        start(folder / "pair", "together", KERAS_DISTRIBUTION_PROCESS_ID=i, **meet, **jax)
        for i in ("0", "1")
    ]
    two = "--xla_force_host_platform_device_count=2"
    pair = finish(*pair)
    alone = finish(start(folder / "alone", "together", "refused", **{**jax, "XLA_FLAGS": two}))
    return [child["together"] for child in (*pair, *alone)], alone[0]["refused"]


def test_two_processes_do_what_one_does(processes):
    (first, second, alone), _ = processes
    assert [r["process"] for r in (first, second, alone)] == [[0, 2], [1, 2], [0, 1]]
    same([r["history"] for r in (first, second, alone)])
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_allclose(first["weights"], alone["weights"], atol=1e-5)


def test_one_process_writes_and_each_can_sample(processes):
    (first, second, alone), _ = processes
    assert first["files"] == second["files"] == alone["files"]
    assert {"checkpoint", "best.weights", "samples.gif", "history.csv"} <= set(first["files"])
    assert abs(np.subtract(first["sample"], alone["sample"])).max() <= 1


def test_jax_refuses_statistics_per_device(processes):
    assert processes[1] == "synchronized_batch_norm=False needs the TensorFlow backend or devices=1"
