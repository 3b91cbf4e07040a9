"Nothing lost, nothing silent: kill -9, full disks, damage, a second process, NaN, garbage, traps."

import ast
import gc
import json
import os
import random
import signal
import subprocess
import threading
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import crash
import keras
import numpy as np
import psutil
import pytest
import tiny  # noqa: F401  # an architecture of the package then
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from acgan_nb import data, judges, runs, train
from acgan_nb.monitor import CollapseWarning, RealStatistics
from acgan_nb.plan import check_fit
from acgan_nb.directory import RunDirectory
from acgan_nb.runs import load_run
from acgan_nb.storage import digest, load_variables, locked, seal
from acgan_nb.train import Diverged, Stopped, fit

PACKAGE = Path(train.__file__).parent
FEW = dict(arch="tiny", verbose=False, save_every=5, log_every=4)
pytestmark = pytest.mark.usefixtures("without_graphs")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    "The contents of a run directory that nobody touched."
    outdir = tmp_path_factory.mktemp("undisturbed")
    process = crash.start(outdir)
    process.join()
    assert process.exitcode == 0, process.said()
    return crash.contents(outdir)


def test_killed_at_random_instants(undisturbed, tmp_path):
    "Five times, and resumed each time."
    for begin in range(0, 60, 12):
        crash.kill_at_random(tmp_path, random.Random(begin), begin)
    assert crash.finish(tmp_path) == ""
    assert crash.differences(tmp_path, undisturbed) == []


def test_killed_inside_a_checkpoint_write(undisturbed, tmp_path):
    "Each process dies in its second one, in another way, and the next goes on."
    for fault in ("half written", "not renamed", "half renamed"):
        process = crash.start(tmp_path, fault=fault, at=2)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert crash.finish(tmp_path) == ""
    assert crash.differences(tmp_path, undisturbed) == []


def test_full_disk_then_damage_then_room_again(undisturbed, tmp_path):
    "Not enough room for the next checkpoint; then the last one is damaged; then all is well."
    assert crash.finish(tmp_path, steps=60) == ""
    size = (tmp_path / "checkpoint").stat().st_size
    line = crash.finish(tmp_path, fault="quota", at=size // 2)
    assert line.startswith(f"OSError: cannot write {tmp_path}") and "too large" in line
    assert RunDirectory(tmp_path).find_checkpoint().step == 60
    flip(tmp_path / "checkpoint", size // 3)
    assert crash.finish(tmp_path) == ""
    assert crash.differences(tmp_path, undisturbed) == []


def test_stopped_by_sigterm_goes_on(undisturbed, tmp_path):
    process = crash.start(tmp_path)
    while process.is_alive() and not (tmp_path / "checkpoint").exists():
        time.sleep(0.1)
    process.terminate()
    process.join()
    line = process.said().strip().rpartition("\n")[2]
    assert "stopped by SIGTERM after step" in line and "the same call goes on from there" in line
    assert f"after step {RunDirectory(tmp_path).find_checkpoint().step} of {crash.STEPS}" in line
    assert crash.finish(tmp_path) == ""
    assert crash.differences(tmp_path, undisturbed) == []


def flip(path, offset):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << offset % 8
    path.write_bytes(content)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit("digits", steps=10, outdir=tmp_path_factory.mktemp("run"), **FEW)


@pytest.fixture
def outdir(run, tmp_path):
    "A copy of a finished run of ten steps, whose last two checkpoints are of step 5 and 10."
    subprocess.run(["cp", "-r", f"{run.outdir}/.", tmp_path], check=True)
    return tmp_path


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_is_noticed_and_the_one_before_is_used(seed, outdir):
    path = outdir / "checkpoint"
    flip(path, random.Random(seed).randrange(path.stat().st_size))
    with pytest.warns(UserWarning, match="checksum does not fit; using .*previous, step 5"):
        assert RunDirectory(outdir).find_checkpoint().step == 5


@pytest.mark.parametrize("lost", ["checkpoint", "history.csv", "generator.weights", "samples.gif"])
def test_a_deleted_file_comes_back(lost, outdir, run):
    (outdir / lost).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit("digits", steps=10, outdir=outdir, **FEW)
    assert (outdir / lost).exists()
    assert digest(load_run(outdir).gan.weights) == digest(run.gan.weights)
    assert load_run(outdir).history["d_loss"] == run.history["d_loss"]


def test_same_seed_same_weights_other_seed_other_weights(run):
    assert digest(fit("digits", steps=10, **FEW).gan.weights) == digest(run.gan.weights)
    assert digest(fit("digits", steps=10, seed=1, **FEW).gan.weights) != digest(run.gan.weights)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (dict(seed=1, beta_1=0.9), "checkpoint holds a run with beta_1=0.5, seed=0, not beta"),
        (dict(data=(np.zeros((99, 8, 8)) - 1, [0, 1] * 49 + [1]), batch_size=9), "fingerprint="),
        (dict(arch="mnist"), "holds a run with arch='tiny'"),
        (dict(clip_norm=1.0), "holds a run with clip_norm=0.0, not clip_norm=1.0"),
    ],
)
def test_another_run_is_refused(change, line, outdir):
    with pytest.raises(ValueError, match="choose another outdir") as caught:
        fit(**{"data": "digits", "steps": 20, "outdir": outdir, **FEW, **change})
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert RunDirectory(outdir).find_checkpoint().step == 10


def test_a_second_process_is_refused(outdir):
    with locked(outdir):
        last = crash.finish(outdir)
    assert last == f"BlockingIOError: another process is training in '{outdir}'"


def test_ctrl_c_in_the_same_process(outdir):
    def interrupt(batch, logs):
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)  # in the background it may be to ignore it
    press = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(Stopped, match="stopped by SIGINT after step 11 of 20, all of it saved"):
        fit("digits", steps=20, outdir=outdir, callbacks=[press], **FEW)
    assert RunDirectory(outdir).find_checkpoint().step == 11
    assert signal.getsignal(signal.SIGINT) is before


def test_training_in_a_thread_leaves_signals_alone(tmp_path):
    def look(batch, logs):
        seen.append([signal.getsignal(name) for name in names])

    names, seen = (signal.SIGINT, signal.SIGTERM), []
    before = [signal.getsignal(name) for name in names]
    watcher = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    options = dict(outdir=tmp_path, callbacks=[watcher], **FEW)
    worker = threading.Thread(target=lambda: fit("digits", steps=1, **options))
    worker.start()
    worker.join()
    assert seen == [before] and RunDirectory(tmp_path).find_checkpoint().step == 1


def poison(at, value=np.nan):
    "A callback that makes one weight of D non-finite before step `at`, once."
    left = [1]

    def spoil(batch, logs=None):
        gan = callback.model
        if int(gan.g_optimizer.iterations) == at - 1 and left:
            left.pop()
            poison_now(gan, value)

    callback = keras.callbacks.LambdaCallback(on_train_batch_begin=spoil)
    return callback


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_divergence_stops_at_that_step(value, tmp_path):
    with pytest.raises(Diverged) as caught:
        fit("digits", steps=20, outdir=tmp_path, callbacks=[poison(8, value)], **FEW)
    line = str(caught.value)
    assert line.startswith("step 8: ") and "d_loss is nan" in line
    assert RunDirectory(tmp_path).find_checkpoint().step == 5
    weights = load_run(tmp_path).gan.get_weights()
    assert all(np.isfinite(w).all() for w in weights)


def test_a_gradient_that_overflows_is_seen(tmp_path):
    "The losses of the first step are still numbers; only the gradient is not."
    with pytest.raises(Diverged, match="step 1: d_gradient is (inf|nan)"):
        fit("digits", steps=9, class_weight=5e37, **FEW)


@pytest.mark.usefixtures("with_graphs")
def test_rollback_halves_the_rates_and_is_remembered(tmp_path):
    options = dict(outdir=tmp_path, on_divergence="rollback", **FEW)
    with pytest.warns(UserWarning, match="last good state is step 5; going on from there at half"):
        run = fit("digits", steps=12, callbacks=[poison(8)], **options)
    assert float(run.gan.g_optimizer.learning_rate) == pytest.approx(1e-4)
    assert run.config["rollbacks"] == [5] and run.history["step"][-1] == 12
    assert np.isfinite(run.history["d_loss"]).all()
    more = fit("digits", steps=14, **options)
    assert float(more.gan.d_optimizer.learning_rate) == pytest.approx(1e-4)
    assert more.config["rollbacks"] == [5]


def test_rollbacks_end(tmp_path):
    rates = []
    always = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs=None: rates.append(float(always.model.g_optimizer.learning_rate)),
        on_train_batch_begin=lambda batch, logs=None: poison_now(always.model),
    )
    with warnings.catch_warnings(record=True) as caught, pytest.raises(Diverged):
        warnings.simplefilter("always")
        options = dict(on_divergence="rollback", callbacks=[always], **FEW)
        fit("digits", steps=3, outdir=tmp_path, **options)
    assert sum("going on from there" in str(w.message) for w in caught) == train.ROLLBACKS
    np.testing.assert_allclose(rates, 2e-4 * 0.5 ** np.arange(train.ROLLBACKS + 1))


def poison_now(gan, value=np.nan):
    weight = gan.discriminator.trainable_variables[0]
    weight.assign(np.full(weight.shape, value))


def test_collapse_can_stop_a_run(tmp_path):
    "At the start every class is the same grey; the second evaluation ends the run."
    with pytest.warns(UserWarning, match="step 4: collapse of class"):
        run = fit("digits", steps=50, evaluate_every=2, on_collapse="stop", outdir=tmp_path, **FEW)
    assert run.history["step"][-1] == 4 and RunDirectory(tmp_path).find_checkpoint().step == 4
    options = dict(evaluate_every=2, outdir=tmp_path, **FEW)
    with pytest.warns(UserWarning, match="stopped by a collapse after step 4; on_collapse='warn' goes on"):
        assert fit("digits", steps=50, on_collapse="stop", **options).step == 4
    assert fit("digits", steps=6, on_collapse="warn", **options).step == 6
    assert fit("digits", steps=8, on_collapse="stop", **options).step == 8  # nothing new collapsed


def test_the_best_of_steps_that_were_taken_back_is_known_for_what_it_is(tmp_path, monkeypatch):
    "It was written after the checkpoint that a rollback goes back to."
    distances = iter([3.0, 1.0, 2.0, 2.0])
    monkeypatch.setattr(RealStatistics, "distance", lambda self, images: next(distances))
    options = dict(outdir=tmp_path, on_divergence="rollback", evaluate_every=4, **FEW)
    rolled_back = pytest.warns(UserWarning, match="last good state is step 5")
    with rolled_back, pytest.warns(CollapseWarning):
        fit("digits", steps=12, callbacks=[poison(10)], **options)
    # evaluated at 4: 3.0, and at 8: 1.0; then from 5 on again, at 8: 2.0, and at 12: 2.0
    best = load_run(tmp_path, best=True)
    more = load_variables(tmp_path / "best.weights", best.generator.weights)
    assert (more["step"], more["frechet_distance"]) == (8, 1.0)
    assert best.step == 8 and best.history["frechet_distance"][-1] == 2.0


def test_a_best_generator_that_cannot_be_read_is_written_anew(tmp_path):
    options = dict(outdir=tmp_path, evaluate_every=2, **FEW)
    with pytest.warns(CollapseWarning):
        fit("digits", steps=4, **options)
    (tmp_path / "best.weights").write_bytes(b"not this")
    fit("digits", steps=6, **options)
    assert load_run(tmp_path, best=True).step == 6


def test_clipping_changes_training_and_bounds_the_step():
    norms = []
    fit("digits", steps=3, clip_norm=1e-3, callbacks=[watch(norms)], **FEW)
    free = []
    fit("digits", steps=3, callbacks=[watch(free)], **FEW)
    assert max(norms[1:]) <= 1.001e-3 < min(free[1:])


def watch(norms):
    "The norm of D's first moments, (1 - beta1) times the clipped gradient after one step."

    def look(batch, logs):
        optimizer = callback.model.d_optimizer
        first = [np.asarray(m) for m in optimizer._momentums]
        norms.append(float(np.sqrt(sum((m**2).sum() for m in first))))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    return callback


# --- files from elsewhere ---

LENIENT = dict(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=9), x, max_size=3),
    max_leaves=8,
)


@settings(**LENIENT)
@given(st.binary(max_size=400))
def test_garbage_is_no_run(tmp_path_factory, garbage):
    outdir = tmp_path_factory.mktemp("garbage")
    for name in ("config.json", "checkpoint", "history.csv"):
        (outdir / name).write_bytes(garbage)
    for reader in (RunDirectory.read_config, RunDirectory.find_checkpoint, RunDirectory.read_history):
        with pytest.raises(ValueError) as error:
            reader(RunDirectory(outdir))
        assert str(outdir) in str(error.value) and "\n" not in str(error.value)


@settings(**LENIENT)
@given(st.data())
def test_a_configuration_with_anything_in_it(run, tmp_path_factory, draw):
    "One key of a good configuration gets a random value: accepted as valid, or refused in a line."
    outdir = tmp_path_factory.mktemp("config")
    config = json.loads((run.outdir / "config.json").read_text())
    key = draw.draw(st.sampled_from(sorted(config)) | st.text(max_size=9))
    config[key] = draw.draw(JSON)
    (outdir / "config.json").write_text(json.dumps(config))
    try:
        found = RunDirectory(outdir).read_config()
    except ValueError as error:
        assert "config.json is damaged" in str(error) and "\n" not in str(error)
    else:  # None stands for a default that depends on others, such as D's learning rate
        default = [run.config.get(key)] if config[key] is None else []
        assert repr(found[key]) in map(repr, [config[key], *default])


@settings(**LENIENT)
@given(st.data())
def test_a_checkpoint_that_tells_anything(run, tmp_path_factory, draw):
    "Sealed correctly, so only its content can be wrong: an exception nobody documented is a bug."
    outdir = tmp_path_factory.mktemp("checkpoint")
    about = dict(config=run.config, history=run.history, step=10, seconds=1.0)
    key = draw.draw(st.sampled_from([*about, "monitor", "rollbacks", "other"]))
    about[key] = draw.draw(JSON)
    RunDirectory(outdir).save_checkpoint(run.gan, **about)
    try:
        RunDirectory(outdir).find_checkpoint()
    except ValueError as error:
        assert "not a checkpoint" in str(error) and "\n" not in str(error)
    else:  # accepted: it is of the right kind
        kinds = dict(step=int, seconds=(int, float), monitor=(dict, type(None)))
        kinds |= dict(config=dict, history=dict)  # and of the run: see the checks of `config.json`
        assert type(about[key]) is not bool and isinstance(about[key], kinds[key]), key


@settings(**LENIENT)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"]))
def test_an_image_that_is_none(tmp_path_factory, garbage, start):
    folder = tmp_path_factory.mktemp("images")
    (folder / "cat").mkdir()
    (folder / "cat" / "1.png").write_bytes(start + garbage)
    with pytest.raises(ValueError, match="cannot read image") as caught:
        data.load(folder)
    assert "1.png" in str(caught.value)


def test_an_image_that_would_fill_the_memory(tmp_path):
    (tmp_path / "cat").mkdir()
    Image.new("1", (30_000, 4_000)).save(tmp_path / "cat" / "1.png")
    assert (tmp_path / "cat" / "1.png").stat().st_size < 50_000
    with pytest.raises(ValueError, match="cannot read image .*1.png.* exceeds limit"):
        data.load(tmp_path)


def test_a_link_in_a_run_directory_is_refused(outdir, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("history.csv", "samples/step_000000.png"):
        (outdir / name).unlink()
        (outdir / name).symlink_to(elsewhere / "written")
        for call in (load_run, lambda d: fit("digits", steps=12, outdir=d, **FEW)):
            with pytest.raises(ValueError, match="is a symbolic link"):
                call(outdir)
        (outdir / name).unlink()
    assert not list(elsewhere.iterdir())


def test_weights_that_would_run_code(run, outdir):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(outdir / "sprung"),)

    trap = sealed(outdir / "trap", {"0000": np.array([Trap()], object)})
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        load_variables(trap, run.generator.weights)
    for name in ("checkpoint", "checkpoint.previous", "generator.weights", "best.weights"):
        (outdir / name).write_bytes(trap.read_bytes())
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        load_run(outdir)
    assert not (outdir / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"size": 10**9, "widths": [8], "mirror": False}},
        {"recipe": {"size": 8, "widths": [10**9], "mirror": False}},
        {"recipe": {"size": 8, "widths": [8] * 40, "mirror": False}},
        {"recipe": {"size": "8", "widths": [8], "mirror": False}},
        {"recipe": None},
        {"channels": 10**9},
        {"class_names": 10},
    ],
)
def test_a_judge_record_that_lies_is_one_line(change, tmp_path):
    "`judge.json` lies in the run directory, which may have come from anywhere."
    judges.save_judge(judges.load_judge("digits"), tmp_path)
    path = tmp_path / "digits.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match="digits.json is damaged") as caught:
        judges.load_judge("digits", tmp_path)
    assert "\n" not in str(caught.value)


def test_networks_that_would_exhaust_the_memory(run, outdir, tmp_path, monkeypatch):
    "They are refused before they are built."
    monkeypatch.setattr(os, "sysconf", lambda name: 2**16)  # 4 GiB
    config = json.loads((outdir / "config.json").read_text())
    config |= dict(arch="image48x1024", image_shape=[48, 1024, 1], latent_dim=65535)
    (outdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="its generator would take"):
        RunDirectory(outdir).read_config()
    judges.save_judge(judges.load_judge("digits"), tmp_path)
    path = tmp_path / "digits.json"
    recipe = {"size": 1023, "widths": [4095] * 9, "mirror": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": recipe}))
    with pytest.raises(ValueError, match="its network would take 10 GiB"):
        judges.load_judge("digits", tmp_path)


@pytest.mark.parametrize("value", [7, [1.5], ["x"], [-1], {"a": 1}])
def test_rollbacks_that_are_no_steps(value, run, outdir):
    config = json.loads((outdir / "config.json").read_text()) | {"rollbacks": value}
    (outdir / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="config.json is damaged"):
        RunDirectory(outdir).read_config()


def test_an_archive_that_would_write_elsewhere(run, outdir, monkeypatch):
    values = {f"{i:04d}": v for i, v in enumerate(run.generator.get_weights())}
    path = sealed(outdir / "some" / "weights", {**values, "../evil": np.zeros(3)})
    monkeypatch.chdir(path.parent)
    before = sorted(outdir.rglob("*"))
    load_variables(path, run.generator.weights)
    assert sorted(outdir.rglob("*")) == before


def sealed(path, arrays):
    "An honest seal on a dishonest file."
    path.parent.mkdir(exist_ok=True)
    with open(path, "w+b") as file:
        np.savez(file, **arrays)
        seal(file)
    return path


def test_a_keras_file_with_code_is_refused_and_ours_has_none(tmp_path):
    inputs = keras.Input((1,))
    trap = keras.Model(inputs, keras.layers.Lambda(lambda x: x, output_shape=(1,))(inputs))
    trap.save(tmp_path / "trap.keras")
    with pytest.raises(ValueError, match="[Ll]ambda"):
        keras.models.load_model(tmp_path / "trap.keras")
    gan = runs.build_gan(check_fit("digits", steps=1).config)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")  # safe mode is Keras' default
    assert digest(again.generator.weights) == digest(gan.generator.weights)
    with zipfile.ZipFile(tmp_path / "gan.keras") as archive:
        assert "Lambda" not in archive.read("config.json").decode()


def test_no_module_uses_what_runs_code_from_files():
    risky = {"eval", "exec", "load_model", "unsafe_load", "system", "extractall", "unpack_archive"}
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert name not in risky, f"{path.name}:{node.lineno} calls {name}"
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = {a.name for a in node.names} | {getattr(node, "module", None)}
                if path.name != "lite0.py":  # which lets four names pass: test_lite0.py
                    assert not names & {"pickle", "marshal", "shelve", "dill", "joblib"}, path.name


# --- hundreds of steps ---


@pytest.mark.usefixtures("with_graphs")
def test_resources_stay_flat(tmp_path):
    "After warm-up neither what Python and NumPy hold, file handles nor threads grow, with files written all the time."
    process, seen = psutil.Process(), []

    def look(batch, logs):
        if (step := int(watcher.model.g_optimizer.iterations)) == 100:
            tracemalloc.start()
        elif step > 100 and step % 50 == 0:
            gc.collect()
            counts = process.num_fds(), process.num_threads(), process.memory_info().rss
            seen.append((tracemalloc.get_traced_memory()[0], *counts))

    watcher = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    often = dict(outdir=tmp_path, save_every=10, log_every=50, callbacks=[watcher], verbose=False)
    try:
        run = fit("digits", arch="tiny", steps=400, batch_size=20, **often)
    finally:
        tracemalloc.stop()
    memory, files, threads, resident = np.array(seen).T
    state = sum(w.numpy().nbytes for w in run.gan.weights)
    assert memory[-1] - memory[0] < 3 * state, memory / 2**10  # of 25 checkpoints
    assert resident[-1] < 1.05 * resident[0], resident / 2**20  # of TensorFlow, too
    assert files.max() <= files[0] + 2 and threads.max() <= threads[0] + 2
