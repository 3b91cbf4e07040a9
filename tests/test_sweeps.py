"Sweeps and splits on local Ray: workers and drivers are killed, and the same call finishes."

import json
import os
import shutil
import signal
import sys
import threading
import time
import uuid
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from crash import Fork
from PIL import Image

from acgan_nb import sweeps, tables, trials
from acgan_nb.cli import main
from acgan_nb.cluster import ray_session
from acgan_nb.data import Dataset, load
from acgan_nb.directory import RunDirectory
from acgan_nb.judges import load_judge
from acgan_nb.plan import check_fit
from acgan_nb.runs import load_run
from acgan_nb.storage import digest, locked, results_folder
from acgan_nb.sweeps import (
    PRESETS,
    load_ensemble,
    splits,
    summary,
    sweep,
    wait_for_lock,
)
from acgan_nb.train import fit
from acgan_nb.trials import (
    grid,
    load_test_split,
    name_trials,
    read_record,
    run_trials,
    write_record,
)

FEW = dict(steps=60, batch_size=20, save_every=10, log_every=10)
TRIALS = {"one": {}, "twin": {}, "noisy": dict(activation_noise=0.3), "other": dict(seed=1)}


@pytest.fixture(scope="module")
def cluster():
    "The address of a local Ray whose token, made up here, other drivers find in the environment."
    if find_spec("ray") is None:
        pytest.skip("no ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)
        with ray_session() as ray:
            yield ray.get_runtime_context().gcs_address


def wait_for(run, step, driver=None, seconds=600):
    end = time.monotonic() + seconds
    while not (run / "samples" / f"step_{step:06d}.png").exists():
        assert time.monotonic() < end and (driver is None or driver.is_alive())
        time.sleep(0.02)


def workers(run):
    "The Ray workers, below this process, that hold the lock of a run directory."
    for process in psutil.Process().children(recursive=True):
        try:
            if any(file.path == str(run / ".lock") for file in process.open_files()):
                yield process
        except psutil.Error:
            pass


def kill_at(run, step):
    "A thread that kills the worker of a run after this step, once."

    def kill():
        wait_for(run, step)
        end = time.monotonic() + 600
        while not killed and time.monotonic() < end:  # it may be between two workers
            for worker in islice(workers(run), 1):
                worker.kill()
                killed.append(worker.pid)

    killed, thread = [], threading.Thread(target=kill, daemon=True)
    thread.start()
    return killed


@pytest.fixture(scope="module")
def swept(cluster, tmp_path_factory):
    "(directory, rows of a sweep in which two trials fail, rows of the same call once more)."
    outdir = tmp_path_factory.mktemp("sweep")
    options = dict(jobs=2, verbose=False, **FEW)
    (outdir / "other").mkdir()
    (outdir / "other" / "checkpoint").write_bytes(b"PK\3\4@\0" + b"0" * 64)  # damaged
    killed = kill_at(outdir / "twin", 20)
    first = sweep("digits", TRIALS, outdir, retries=0, **options)
    assert len(killed) == 1
    (outdir / "other" / "checkpoint").unlink()
    killed = kill_at(outdir / "twin", 40)
    second = sweep("digits", TRIALS, outdir, retries=2, **options)
    assert len(killed) == 1
    return outdir, first, second


def test_a_failed_trial_does_not_stop_the_others(swept):
    _, rows, _ = swept
    errors = {row["trial"]: row["error"] for row in rows}
    assert errors["one"] == errors["noisy"] == ""
    assert errors["twin"].startswith("WorkerCrashedError: The worker died")
    assert errors["other"].startswith("ValueError: cannot read weights")
    steps = {row["trial"]: row.get("step", 0) for row in rows}
    assert steps["one"] == steps["noisy"] == 60 and 10 <= steps["twin"] < 60 and not steps["other"]
    said = summary(rows).splitlines()
    assert [line.split()[:3] for line in said[1:3]] == [["one", "finished", "60"],
                                                        ["twin", "failed", f"{steps['twin']:.0f}"]]
    assert said[-2:] == [f"{name}: {errors[name]}" for name in ("twin", "other")]


def test_the_same_call_finishes(swept):
    outdir, _, rows = swept
    assert [(row["trial"], row["error"], row["step"]) for row in rows] == [
        (name, "", 60) for name in TRIALS
    ]
    runs = {name: load_run(outdir / name) for name in TRIALS}
    weights = {name: digest(run.gan.weights) for name, run in runs.items()}
    assert weights["twin"] == weights["one"] and len(set(weights.values())) == 3
    assert runs["twin"].history["d_loss"] == runs["one"].history["d_loss"]
    assert runs["noisy"].config["activation_noise"] == 0.3 and runs["other"].config["seed"] == 1


def drive(printed, cluster, call):
    "A process of its own that makes this call on the cluster."
    driver = Fork(printed, call_with, {**os.environ, "RAY_ADDRESS": cluster}, call)
    driver.start()
    return driver


def call_with(environment, call):
    os.environ.update(environment)
    call()


def acgan(*arguments):
    main(arguments)


HALVING = dict(rungs=(6, 90), keep=1 / 2, batch_size=20, verbose=False)
HALVING |= dict(evaluate_every=30, save_every=10)
PLAYERS = {"plain": {}, "slow": dict(learning_rate=1e-9)}


def kept(outdir):
    "Each trial's steps and weights, and the distances that decided."
    found = {}
    for name in PLAYERS:
        run = load_run(outdir / name)
        found[name] = run.step, digest(run.gan.weights), run.history["frechet_distance"]
    return found


@pytest.mark.filterwarnings("ignore:.*collapse of class")
def test_successive_halving_goes_on_where_it_was_killed(cluster, tmp_path):
    "Killed in the second rung, after which the same call gives what an undisturbed one gives."
    outdir = tmp_path / "parts"
    driver = drive(tmp_path / "driver.txt", cluster, partial(sweep, "digits", PLAYERS, outdir, **HALVING))

    def kill():
        wait_for(outdir / "plain", 20, driver)
        for process in (driver, *workers(outdir / "plain")):
            process.kill()

    (killer := threading.Thread(target=kill)).start()
    whole = sweep("digits", PLAYERS, tmp_path / "whole", **HALVING)
    assert [row["step"] for row in whole] == [90, 6]
    assert whole[0]["best_distance"] < whole[1]["best_distance"]
    killer.join()
    driver.join()
    assert driver.exitcode == -signal.SIGKILL
    assert 10 <= RunDirectory(outdir / "plain").find_checkpoint().step < 90
    again = sweep("digits", PLAYERS, outdir, **HALVING)
    assert kept(outdir) == kept(tmp_path / "whole")
    assert [{**row, "outdir": 0, "seconds": 0} for row in again] == [
        {**row, "outdir": 0, "seconds": 0} for row in whole
    ]
    said = summary(again).splitlines()
    assert said[0].endswith("best_distance") and len(said) == 3
    with pytest.raises(ValueError, match=r"rungs \[6, 90\], of which 0.5 goes on, not no rungs"):
        sweep("digits", PLAYERS, outdir, batch_size=20)
    with pytest.raises(ValueError, match=r"rungs \[6, 90\], of which 0.5 goes on, not rungs \[6, 9\]"):
        sweep("digits", PLAYERS, outdir, **HALVING | dict(rungs=[6, 9]))


@pytest.fixture(scope="module")
def divided(cluster, tmp_path_factory):
    "Four splits whose driver was killed, and the same command again: (directory, its result)."
    outdir = tmp_path_factory.mktemp("splits") / "new"
    command = ["splits", "digits", "--group-size", "3", "--outdir", str(outdir), "--jobs", "2"]
    command += ["--steps", "60", "--batch-size", "20", "--save-every", "10", "--quiet"]
    driver = drive(outdir.with_suffix(".txt"), cluster, partial(acgan, *command, "--jobs", "1"))
    wait_for(outdir / "split_00", 10, driver)
    driver.kill()
    driver.join()
    assert not (outdir / "split_03").exists()
    return outdir, CliRunner().invoke(main, command, catch_exceptions=False)


def test_splits_after_the_death_of_their_driver(divided):
    outdir, result = divided
    assert result.exit_code == 0, result.output
    assert result.stdout.count("finished  60") == 4
    groups = [load_run(outdir / f"split_0{i}").config["class_names"] for i in range(4)]
    assert groups == [["0", "1", "2"], ["3", "4", "5"], ["6", "7", "8"], ["9"]]
    run = load_run(outdir / "split_01")
    assert run.config["fingerprint"] == load("digits", classes=[3, 4, 5]).fingerprint


def test_ensemble(divided):
    ensemble = load_ensemble(divided[0])
    assert ensemble.class_names == tuple("0123456789")
    labels = [*range(10), 4, 3]
    images = ensemble.sample(labels, seed=5)
    assert images.shape == (12, 8, 8, 1) and images.dtype == np.uint8
    for i in range(4):
        run = load_run(divided[0] / f"split_0{i}")
        own = np.array([k // 3 == i for k in labels])
        there = np.where(own, np.array(labels) % 3, 0)
        expected = run.sample(there, seed=5).astype(int)
        assert np.abs(images.astype(int) - expected)[own].max() <= 1
        assert np.abs(images.astype(int) - expected)[~own].max() > 1
    for call, line in [
        (lambda: ensemble.sample(10), "label 10 is out of range: class ids are 0..9"),
        (lambda: ensemble.sample("ten"), "no class 'ten': ids are 0..9"),
        (lambda: ensemble.sample([[3]]), "labels must be one class id or name or a sequence"),
        (lambda: ensemble.sample([1, 2], 3), "3 images need one class or 3"),
    ]:
        with pytest.raises(ValueError, match=line):
            call()


def test_reports_arrays_and_relative_folders(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluation = dict(samples=100, pairs=5, gan_train_seeds=0)
    options = dict(steps=2, evaluate=evaluation, verbose=False)
    rows = sweep(load("digits"), grid(seed=[7]), "here/it", **options)
    assert rows[0]["error"] == "" and (tmp_path / "here/it/seed=7/report.html").exists()
    said = summary(rows).splitlines()
    assert said[1].split()[:3] == ["seed=7", "finished", "2"]
    assert "GAN-test" in said[3] and said[5].startswith("seed=7 ") and "real digits" in said[6]


def test_trials_share_one_judge(cluster, tmp_path):
    "Of data without a shipped judge. `judge.json` says how long its training took."
    options = dict(steps=1, evaluate_every=1, verbose=False, classes=[3, 7])
    rows = sweep("digits", grid(seed=[0, 1]), tmp_path, **options)
    assert [row["error"] for row in rows] == ["", ""]
    found = [json.loads(path.read_text()) for path in tmp_path.rglob("judge.json")]
    assert len(found) == 3 and len({(about["hash"], about["seconds"]) for about in found}) == 1


@pytest.fixture
def ctrl_c_works():
    "A job in the background is born ignoring it."
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_saves(cluster, tmp_path, ctrl_c_works):
    ended = threading.Event()

    def press():
        while not ended.is_set() and RunDirectory(tmp_path / "run").last_row().get("step", 0) < 10:
            time.sleep(0.05)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    options = dict(steps=9999, save_every=9999, log_every=5, verbose=False)
    try:
        with pytest.raises(KeyboardInterrupt):
            sweep("digits", {"run": {}}, tmp_path, **options)
    finally:
        ended.set()
    assert 10 <= RunDirectory(tmp_path / "run").find_checkpoint().step < 9999


def test_a_worker_of_a_dead_driver_is_waited_for(tmp_path):
    held = threading.Event()

    def hold():
        with locked(tmp_path):
            held.set()
            time.sleep(0.5)

    threading.Thread(target=hold).start()
    held.wait()
    began = time.monotonic()
    wait_for_lock(tmp_path)
    with locked(tmp_path):
        assert 0.4 < time.monotonic() - began < 20


def test_a_second_driver_is_refused(tmp_path):
    with locked(tmp_path), pytest.raises(BlockingIOError, match="another process is training in"):
        sweep("digits", grid(seed=[0]), tmp_path)


MISTAKES = [
    (dict(trials=[]), "there is no trial"),
    (dict(trials=[{}, {}]), "trial 'defaults' is there twice"),
    (dict(trials={"../up": {}}), "and '../up' cannot be one"),
    (dict(trials={"a/b": {}}), "and 'a/b' cannot be one"),
    (dict(trials={"": {}}), "and '' cannot be one"),
    (dict(evaluate=dict(samples=1)), "samples must be a whole number at least 10"),
    (dict(evaluate=dict(pairs=10**4)), "training images, 142 are needed"),
    (dict(trials=grid(seed=[0, -1])), "trial 'seed=-1': seed must be a whole number"),
    (dict(trials=grid(batch_sise=[9])), "trial 'batch_sise=9': fit has no option 'batch_sise'"),
    (dict(trials=grid(ema=[2.0])), "trial 'ema=2.0': ema must be a number at least 0 and below 1"),
    (dict(trials=grid(objective=["hinge"])), "trial 'objective=hinge': objective must be one of"),
    (dict(trials=grid(classes=[["ten"]])), "trial 'classes=ten': no class 'ten'"),
    (dict(trials=grid(outdir=["x"])), "trial 'outdir=x': outdir is no setting of a trial"),
    (dict(batch_size=9999), "trial 'seed=0': batch_size must be in 1..1438"),
    (dict(data="digits_of_pi"), "no dataset 'digits_of_pi'"),
    (dict(data=(np.zeros((4, 8, 8)), [0, 1] * 2), evaluate=True, batch_size=2), "no test split"),
    (dict(evaluate=dict(sampels=3)), "evaluate has no option 'sampels'; did you mean 'samples'"),
    (dict(rungs=(9, 3)), "rungs must be numbers of steps that increase"),
    (dict(rungs=("many",)), "rungs must be a whole number"),
    (dict(rungs=1000), "rungs must be numbers of steps that increase, got 1000"),
    (dict(trials=grid(framing=["crop", "pad"])), "framing must be the same in all trials"),
    (dict(trials={"a": dict(framing="pad"), "b": {}}), "framing must be the same in all trials"),
    (dict(rungs=(3, 9), keep=1), "keep must be a number above 0 and below 1"),
    (dict(rungs=(3, 9), steps=9), "has steps, but the rungs say how long it trains"),
    (dict(gpus=-1), "gpus must be a number at least 0"),
    (dict(cpus=0), "cpus must be a number above 0"),
    (dict(gpus=1.5), "gpus must be a whole number or below 1"),
    (dict(jobs=0), "jobs must be a whole number at least 1"),
]


@pytest.mark.parametrize(("change", "line"), MISTAKES, ids=[line for _, line in MISTAKES])
def test_a_mistake_is_one_line_before_anything_starts(change, line, tmp_path):
    arguments = {"data": "digits", "trials": grid(seed=[0]), "outdir": tmp_path / "new", **change}
    with pytest.raises(ValueError) as caught:
        sweep(**arguments)
    assert line in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_judge_of_other_classes_is_refused_before_anything_starts(tmp_path):
    options = dict(outdir=tmp_path / "new", evaluate=dict(judge=load_judge("digits")))
    with pytest.raises(ValueError, match="judge 'digits' does not know the classes of trial 'two'"):
        sweep("digits", {"two": dict(classes=[1, 2])}, **options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("groups", "line"),
    [
        (11, "groups of 11 are larger than all 10 classes"),
        (0, "group size must be a whole number at least 1"),
        ([["0", "ten"]], "no class 'ten'"),
        ([range(9)], "class '9' is in 0 groups, not in one"),
        ([range(9), [8, 9]], "class '8' is in 2 groups, not in one"),
    ],
)
def test_wrong_groups(groups, line, tmp_path):
    with pytest.raises(ValueError, match=line):
        splits("digits", tmp_path / "new", groups)
    assert not (tmp_path / "new").exists()


def test_another_plan_is_refused(swept, divided):
    outdir = swept[0]
    for change, line in [
        (dict(trials=TRIALS | {"new": {}}), "only here is 'new'"),
        (dict(batch_size=50), "'one' has batch_size=20, not batch_size=50"),
        (dict(data=load("digits").subset([0, 1])), "holds a sweep on other data, 'digits'"),
    ]:
        arguments = {"data": "digits", "trials": TRIALS, "outdir": outdir, **FEW, **change}
        with pytest.raises(ValueError, match=f"{line}.*; choose another outdir"):
            sweep(**arguments)
    with pytest.raises(ValueError, match="holds a sweep of settings, not splits"):
        load_ensemble(outdir)
    with pytest.raises(FileNotFoundError, match="it has no sweep.json"):
        load_ensemble(outdir / "one")


def test_more_than_there_is(cluster, tmp_path):
    with pytest.raises(ValueError, match="no node has 1 CPUs and 64 GPUs for a trial: the largest"):
        sweep("digits", grid(seed=[0]), tmp_path, gpus=64)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("--grid seed", "'seed' is not an option and its values"),
        ("--grid seed=0 -g seed=1", "seed is given twice; put its values into one list"),
        ("--preset paper28", "preset must be one of 'paper27', got 'paper28'"),
        ("", "the grid is empty"),
        ("--grid objective=hinge", "objective must be one of"),
    ],
)
def test_mistakes_at_the_shell(options, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["sweep", "digits", *options.split()])
    assert result.exit_code == 2 and line in result.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_what_the_shell_hands_on(monkeypatch):
    caught = {}

    def caught_sweep(data, trials, outdir, **options):
        caught.update(trials=trials, outdir=outdir, **options)
        return [dict(trial="x", outdir=Path("x"), error="KeyError: y")]

    monkeypatch.setattr("acgan_nb.sweeps.sweep", caught_sweep)
    words = "--preset paper27 -g seed=0,1 -g lr=1e-4 -g latent=uniform --gpus 0.25 --steps 9"
    result = CliRunner().invoke(main, ["sweep", "cifar10", *words.split()])
    assert result.exit_code == 1 and "x: KeyError: y" in result.stdout
    assert len(caught["trials"]) == 9 * 2 and caught["gpus"] == 0.25 and caught["steps"] == 9
    last = dict(learning_rate=1e-4, d_learning_rate=3e-4, activation_noise=0.2)
    assert caught["trials"][-1] == {**last, "seed": 1, "latent": "uniform"}
    assert len(grid(**PRESETS["paper27"])) == 27
    CliRunner().invoke(main, ["sweep", "x", "-g", "seed=0", "--classes", '1, "a,b"', "--rungs", "1,2"])
    assert caught["classes"] == ["1", "a,b"] and caught["rungs"] == [1, 2]  # names, as of `acgan train`


def test_without_ray(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(sweeps, "load_for_trials", lambda *_: 1 / 0)  # nothing is loaded before
    for call in (lambda: sweep("digits", grid(seed=[0]), tmp_path), lambda: splits("digits", tmp_path)):
        with pytest.raises(ImportError, match=r"a sweep needs ray, .*: pip install 'acgan_nb\[ray\]'$"):
            call()


def test_splits_take_the_options_of_loading(monkeypatch, tmp_path):
    "How pixels are read, and which classes there are, before the classes are divided."
    caught = []
    monkeypatch.setattr(sweeps, "sweep", lambda data, trials, *_, **__: caught.append((data, trials)))
    for name in ("cat", "dog", "fox"):
        (tmp_path / "images" / name).mkdir(parents=True)
        white = Image.fromarray(np.full((12, 8), 4095, "uint16"))
        white.save(tmp_path / "images" / name / "0.png")
    options = dict(size=8, framing="pad", value_range=(0, 4095), classes=["fox", "cat"])
    splits(tmp_path / "images", tmp_path / "out", 1, **options)
    [(data, named)] = caught
    assert [t["classes"] for t in named.values()] == [["fox"], ["cat"]]
    assert data.images.shape == (2, 8, 8, 1) and "black bars are added" in data.notes[0]
    assert data.images.max() == 255 and (data.images[:, :, 0] == 0).all()


def test_a_framing_of_all_trials_is_that_of_the_data(no_training, tmp_path, monkeypatch):
    loaded = []
    load_all = trials.as_dataset
    monkeypatch.setattr(trials, "as_dataset", lambda *args, **how: loaded.append(how) or load_all(*args, **how))
    for settings, common in ((dict(framing="pad"), {}), ({}, dict(framing="pad"))):
        run_trials("digits", {"a": settings}, tmp_path, seeds=[0], steps=1, size=16, **common)
    assert [how["framing"] for how in loaded] == ["pad", "pad"]


def test_test_images_are_read_as_the_training_images(no_training, tmp_path, monkeypatch):
    "Wide images, padded as the trials say: the test images, too."
    for split, count in (("train", 8), ("test", 3)):
        for name in "ab":
            (folder := tmp_path / "wide" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = np.random.default_rng(i).integers(0, 256, (8, 16, 3)).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{i}.png")
    seen, load_split = [], trials.load_test_split
    monkeypatch.setattr(trials, "load_test_split", lambda *a: seen.append(load_split(*a)) or seen[-1])
    monkeypatch.setattr(trials, "judge_for", lambda *_: load_judge("digits"))
    options = dict(seeds=[0], steps=1, size=16, samples=60, batch_size=8, verbose=False)
    run_trials(tmp_path / "wide", {"a": {"framing": "pad"}}, tmp_path / "runs", **options)
    expected = load(tmp_path / "wide", "test", size=16, framing="pad")
    assert (seen[0].images == expected.images).all() and (expected.images[:, 0] == 0).all()
    padded = load(tmp_path / "wide", size=16, framing="pad")
    assert (load_split(padded).images == expected.images).all()
    assert check_fit(padded, batch_size=4).config["framing"] == "pad"
    assert check_fit(padded.subset(["b"]), batch_size=4, framing="stretch").config["framing"] == "pad"
    wide = load(tmp_path / "wide", framing="pad")  # all are alike: nothing is padded
    assert check_fit(wide, batch_size=4, size=16).config["framing"] == "crop"


def test_a_diverging_run_does_not_stop_the_others(no_training, tmp_path, monkeypatch):
    def train_one(data, outdir, **settings):
        if settings["ema"] == 0.5:
            raise FloatingPointError("step 3: d_loss is nan")
        return fine(data, outdir, **settings)

    fine = trials.fit
    monkeypatch.setattr(trials, "fit", train_one)
    both, options = {"bad": {"ema": 0.5}, "good": {"ema": 0.9}}, dict(seeds=[0, 1], steps=3, verbose=False)
    with pytest.raises(FloatingPointError, match="^2 of 4 runs failed, first 'bad' with seed 0: step 3: d_loss is nan$"):
        run_trials("digits", both, tmp_path, **options)
    assert [s["seed"] for s in no_training] == [0, 1]
    rows = run_trials("digits", {"good": both["good"]}, tmp_path, **options)
    assert len(no_training) == 2  # they were kept
    assert [row["steps"] for row in rows] == [2, 2]  # as far as they came


def test_a_summary_has_no_report_of_earlier_steps(tmp_path):
    folder = shutil.copytree(results_folder("digits"), tmp_path / "a")
    row = {"trial": "a", "outdir": folder, "error": "", "step": 3000}
    assert "GAN-test" in sweeps.summary([row])
    assert "GAN-test" not in sweeps.summary([{**row, "step": 4000}])


def test_keep_without_rungs_is_refused():
    done = CliRunner().invoke(main, ["sweep", "digits", "-g", "seed=0,1", "--keep", "0.5"])
    assert done.exit_code == 2 and done.stderr.endswith("it needs --rungs\n")


def test_rungs_compare_trials_of_the_same_classes_and_features():
    for key, values in (("classes", ([0, 1], [2, 3])), ("feature_judge", ("lite0", None))):
        trials = {name: {key: value} for name, value in zip("ab", values)}
        with pytest.raises(ValueError, match=f"which differ in {key}"):
            sweeps._with_rungs(trials, [10, 20], 0.5)
    same = {name: {"classes": classes} for name, classes in (("a", [0, 1]), ("b", (0, 1)))}
    assert sweeps._with_rungs(same, [10, 20], 0.5)["b"]["steps"] == 20


def test_a_trial_whose_history_is_cut_is_the_last_choice(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "history.csv").write_text("step,epoch\n1,na")
    assert sweeps._best_distance(tmp_path / "a", 10) == np.inf


def test_rungs_bring_the_evaluations():
    settings = sweeps._with_rungs({"a": {"feature_judge": "lite0", "on_collapse": "stop"}}, [10, 20], 0.5)
    assert settings["a"]["evaluate_every"] == 10


@pytest.mark.usefixtures("eagerly")
def test_trials_do_not_depend_on_a_folder_named_trial(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    fit("digits", outdir="trial", steps=1, batch_size=20, verbose=False)
    found = trials.check_trials(load("digits"), {"a": dict(init="trial", steps=2)})
    assert found["a"]["init"] == "trial" and found["a"]["init_weights"]


def test_a_baseline_that_is_no_trial():
    rows = [{"trial": t, "recall": r} for t, r in [("a", 1), ("a", 2), ("b", 4), ("b", 5)]]
    with pytest.raises(ValueError, match="baseline must be one of 'a', 'b', got 'paper'"):
        tables.welch(rows, "paper", ["recall"])


def test_a_grid_of_values_with_commas(monkeypatch):
    caught = {}
    monkeypatch.setattr("acgan_nb.sweeps.sweep", lambda data, trials, *_, **__: caught.update(trials=trials) or [])
    CliRunner().invoke(main, ["sweep", "digits", "-g", 'augment=none,"color,translation"'])
    assert [t["augment"] for t in caught["trials"]] == ["none", "color,translation"]


def test_a_ray_that_is_not_there(monkeypatch, tmp_path):
    def init(address, **options):
        raise ConnectionError(f"no cluster at {address}\nand much more")

    ray = SimpleNamespace(is_initialized=lambda: False, init=init)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    with pytest.raises(ConnectionError) as caught:
        sweep("digits", grid(seed=[0]), tmp_path)
    assert str(caught.value) == "cannot reach Ray at 'there:6379': no cluster at there:6379"


def test_a_trial_without_settings_has_a_name():
    assert list(name_trials([{}, {"ema": 0.9}], {"steps": 3})) == ["defaults", "ema=0.9"]


@pytest.fixture
def no_training(monkeypatch):
    "`fit` and the measures replaced: the settings with which `fit` is called, in order."
    calls, numbers = [], dict.fromkeys(trials.MEASURES, 0.5)

    def fit(data, outdir, **settings):
        calls.append(settings)
        outdir.mkdir(exist_ok=True)
        return SimpleNamespace(history={"seconds": [1.0]}, step=settings["steps"] - 1)

    drawn = SimpleNamespace(images=None, labels=None)
    monkeypatch.setattr(trials, "fit", fit)
    monkeypatch.setattr(trials, "sampler", lambda *_: lambda seed: drawn)
    monkeypatch.setattr(trials, "compute_measures", lambda *_, **__: dict(numbers))
    monkeypatch.setattr(trials, "gan_train", lambda *_: {})
    return calls


def test_a_row_is_kept_only_for_the_same_question(no_training, tmp_path, monkeypatch):
    def ask(settings, **options):
        options = dict(seeds=[0], steps=3, verbose=False) | options
        [row] = run_trials("digits", {"a": settings}, tmp_path, **options)
        return len(no_training)

    assert ask({"class_weight": 1.0}) == ask({"class_weight": 1.0}) == ask({}) == 1
    assert ask({"class_weight": 2.0}) == ask({"class_weight": 2.0}) == 2
    assert ask({"class_weight": 2.0}, samples=300) == 3
    assert ask({"class_weight": 2.0}, classes=["3", 7]) == 4
    assert ask({"class_weight": 2.0}, classes=["3", 7]) == 4
    assert "classes" not in no_training[-1]  # the data are of these classes already
    other = load_judge("digits")
    object.__setattr__(other, "hash", "another judge's")
    monkeypatch.setattr(trials, "judge_for", lambda *_: other)
    assert ask({"class_weight": 2.0}, samples=300) == 5


def test_numbers_of_numpy_are_like_others(no_training, tmp_path):
    options = dict(seeds=np.arange(2), samples=np.int64(300), steps=np.int32(3), verbose=False)
    settings = {"ema": 0.5, "spectral_norm": True}
    from_numpy = {"ema": np.float64(0.5), "spectral_norm": np.bool_(True)}
    rows = run_trials("digits", {"a": from_numpy}, tmp_path, **options)
    assert len(no_training) == 2 and [type(row["seed"]) for row in rows] == [int, int]
    plain = dict(seeds=[0, 1], samples=300, steps=3, verbose=False)
    assert run_trials("digits", {"a": settings}, tmp_path, **plain) == rows
    assert len(no_training) == 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (dict(samples=149), "samples must be a whole number at least 150"),
        (dict(trials={"a": {"classes": ["1", "2"]}}), "trial 'a' has its own classes"),
        (dict(trials={"a": {"classes": {1, 2}}}), "classes must be a number, a string or a list"),
        (dict(trials={"a": {"seed": 3}}), "trial 'a' sets a seed"),
        (dict(trials={"a b": {}, "a_b": {}}), "trials 'a b' and 'a_b' would share a folder"),
        (dict(trials={"a": {}, "b": {"ema": 2.0}}), "trial 'b': ema must be a number"),
        (dict(trials=[]), "there is no trial"),
        (dict(seeds=[0, -1]), "seed must be a whole number at least 0"),
        (dict(seeds=np.array([0.5])), "seed must be a whole number at least 0"),
        (dict(seeds=3), "seeds must be a list of whole numbers, got 3"),
        (dict(seeds=[1, 1]), "seed 1 is there twice"),
        (dict(data=(np.zeros((60, 8, 8)), [0, 1] * 30), batch_size=2), "no test split"),
    ],
)
def test_mistakes_of_run_trials_are_reported_before_training(change, line, no_training, tmp_path):
    arguments = {"data": "digits", "trials": {"a": {}}, "steps": 3, "verbose": False, **change}
    with pytest.raises(ValueError, match=line):
        run_trials(outdir=tmp_path / "new", **arguments)
    assert not no_training and not (tmp_path / "new").exists()


@pytest.mark.usefixtures("eagerly")
def test_a_record_is_of_the_runs_of_its_rows(tmp_path):
    runs, digits = tmp_path / "runs", load("digits")
    older = digits.subset([0, 1])
    older = Dataset(older.images, older.labels, name="older")
    fit(older, outdir=runs / "a", steps=1, verbose=False)
    (runs / "a" / "row.json").write_text("{}")
    fit(digits, outdir=runs / "b,seed=0", steps=1, verbose=False)
    rows = [{"trial": "b", "seed": 0, "steps": 1, "seconds": 2.0, "recall": np.float64(0.5)}]
    record = write_record(tmp_path / "record", rows, runs, trials={"b": {"ema": np.float32(0.5)}})
    again, about = read_record(record)
    assert again == [dict(trial="b", seed=0, steps=1, seconds=2, recall=0.5)]
    assert about["data"] == "digits" and about["fingerprint"] == digits.fingerprint
    assert about["images"] == len(digits) and about["trials"] == {"b": {"ema": 0.5}}
    for wrong, where, line in [
        ([], runs, "there are no rows to record"),
        (rows, tmp_path, "no run of trial 'b', seed 0, in"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=line) as caught:
            write_record(tmp_path / "no_record", wrong, where)
        assert "\n" not in str(caught.value) and not (tmp_path / "no_record").exists()


@pytest.fixture
def grey_and_colour(tmp_path):
    "A folder of images whose training images are grey and of whose test images one is in colour."
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 4)):
        for name in "ab":
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (8, 8), "uint8")
                Image.fromarray(pixels).save(folder / f"{i}.png")
    Image.fromarray(rng.integers(0, 256, (9, 9, 3), "uint8")).save(folder / "colour.png")
    return tmp_path / "images"


def test_a_test_split_is_loaded_as_the_training_data_are(grey_and_colour, cluster, tmp_path):
    evaluate = dict(samples=10, pairs=1, gan_train_seeds=0)
    options = dict(steps=1, batch_size=10, evaluate=evaluate, verbose=False, size=8)
    rows = sweep(grey_and_colour, [{}], tmp_path / "sweep", **options)
    assert rows[0]["error"] == "" and (rows[0]["outdir"] / "report.json").exists()
    test = load_test_split(load(grey_and_colour, size=8, classes=["b"]))
    assert test.images.shape == (5, 8, 8, 1) and test.class_names == ("b",)


@pytest.mark.usefixtures("eagerly")
def test_a_report_counts_only_with_the_same_options(monkeypatch, tmp_path):
    calls = []

    def evaluate_run(run, train, test, **options):
        calls.append(options)
        return {"run": {"step": run.step}, "settings": {"test_fingerprint": test.fingerprint}}

    def save_report(run, report, train):
        (run.outdir / "report.json").write_text(json.dumps(report))

    monkeypatch.setattr(sweeps, "evaluate_run", evaluate_run)
    monkeypatch.setattr(sweeps, "save_report", save_report)
    digits, test = load("digits"), load("digits", "test")

    def ask(steps=2, test=test, **options):
        options = trials.evaluation_options(options)
        sweeps._run_trial(digits, test, tmp_path / "run", dict(steps=steps, log_every=1), options)
        return len(calls)

    assert ask() == ask() == ask(samples=10_000) == 1
    assert ask(samples=100) == ask(samples=100) == 2
    assert ask(samples=100, pairs=9) == 3
    assert ask(samples=100, pairs=9, judge=load_judge("digits")) == 4
    assert ask(samples=100, pairs=9, judge=load_judge("digits")) == 4
    assert ask(steps=3, samples=100, pairs=9, judge=load_judge("digits")) == 5
    other = replace(test, images=255 - test.images)
    assert ask(steps=3, test=other, samples=100, pairs=9, judge=load_judge("digits")) == 6


@pytest.mark.parametrize(
    ("gpus", "settings", "line"),
    [
        (2, dict(devices=2), None),
        (2, dict(devices=3), "devices=3, but with gpus=2 a trial has 2"),
        (0.5, dict(devices=2), "devices=2, but with gpus=0.5 a trial has 1"),
        (0, dict(devices=2), "devices=2, but with gpus=0 a trial has 1"),
        (4, dict(devices=3), "batch_size 100 cannot be shared by 3 devices"),
        (2, dict(devices=0), "devices must be a whole number at least 1"),
    ],
)
def test_devices_are_those_of_the_worker(gpus, settings, line, monkeypatch, tmp_path):
    "The driver has one CPU and no GPU."
    def refuse_node(*_):
        raise RuntimeError("all is checked")

    monkeypatch.setattr(sweeps, "check_capacity", refuse_node)
    fake_ray = SimpleNamespace(is_initialized=lambda: True, nodes=list)
    monkeypatch.setitem(sys.modules, "ray", fake_ray)
    error = (RuntimeError, "all is checked") if line is None else (ValueError, line)
    with pytest.raises(error[0], match=error[1]):
        sweep("digits", {"a": settings}, tmp_path / "new", gpus=gpus)
