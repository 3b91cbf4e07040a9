"The command line: quick help, every setting in reach, and whole sessions on digits and folders."

import csv
import dataclasses
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.datasets import load_digits

import acgan_nb.train
from acgan_nb import cli, devices, judges, runs, settings
from acgan_nb.cli import main
from acgan_nb.data import load
from acgan_nb.directory import RunDirectory
from acgan_nb.gan import LOGS
from acgan_nb.monitor import CollapseWarning
from acgan_nb.plan import check_fit
from acgan_nb.runs import export_run, run_data
from acgan_nb.settings import ROWS
from acgan_nb.storage import digest, results_folder
from acgan_nb.train import Training, fit, load_pretrained, load_run, train_command

pytestmark = pytest.mark.usefixtures("small_networks", "without_graphs")
COMMANDS = sorted(main.commands)
OPTIONS = {option.name: option for option in main.commands["train"].params}
PLAIN = {"config": None, "outdir": Path("runs/digits"), "resume": True, "verbose": True}  # no settings
DEFAULTS = {**{row.name: row.default for row in ROWS.values()}, **PLAIN}


def argument(row, flag):
    "What sets a row to a value that is not its default, and that value."
    if row.kind is bool:
        return f"--no-{flag}" if row.default else f"--{flag}", not row.default
    word = row.choices[-1] if row.choices else "cat"
    value = {int: 7, float: 0.25, str: word, list: ["3", "cat"]}[row.kind]
    return f"--{flag} {','.join(value) if row.kind is list else value}", value


REACHED = {
    flag: (row.name, *argument(row, flag))
    for row in ROWS.values()
    for flag in row.flags or (row.name.replace("_", "-"),)
}
REACHED |= {
    "init": ("init", "--init mnist", "mnist"),
    "outdir": ("outdir", "--outdir there", Path("there")),
    "resume": ("resume", "--no-resume", False),
    "quiet": ("verbose", "--quiet", False),
}


def python(code, *args):
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def acgan(*args):
    result = CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)
    said = re.sub(r"\r[^\r\n]*", "", result.stderr)  # a slow machine shows progress bars
    assert (result.exit_code, said) == (0, "")
    return result.stdout


def test_import_is_light():
    heavy = "{'tensorflow', 'keras', 'numpy', 'tensorflow_datasets', 'matplotlib'}"
    done = python(f"import sys, acgan_nb, acgan_nb.cli; assert not {heavy} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


MISTAKES = {
    "train nosuchdata": "no dataset 'nosuchdata'",
    "train digits --lr -1": "learning_rate must be",
    "train digits --on-collapse stop": "needs evaluate_every",
    "train digits --outdir file/run": "cannot write to outdir 'file/run'",
    "data mnits": "did you mean 'mnist'?",
    "sample nosuchrun": "no run in 'nosuchrun'",
    "sample digits --count 0": "count must be",
    "plot nosuchrun": "no run in 'nosuchrun'",
    "evaluate nosuchrun": "no run in 'nosuchrun'",
    "evaluate nosuchrun --pairs 0": "pairs must be",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_answered_in_one_line_before_a_framework_is_imported(line, tmp_path):
    (tmp_path / "file").touch()
    code = """import os, sys
from acgan_nb.cli import main
os.chdir(sys.argv[1])
try:
    main(sys.argv[2:])
finally:
    assert not {'keras', 'tensorflow', 'jax'} & set(sys.modules)"""
    done = python(code, str(tmp_path), *line.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("acgan: ") and MISTAKES[line] in done.stderr


def test_comparing_runs_and_describing_data_import_no_framework(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 9)).save(tmp_path / name / "image.png")
    code = """import json, sys
from acgan_nb.cli import main
for arguments in json.loads(sys.argv[1]):
    main(arguments, standalone_mode=False)
print(*{'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules), file=sys.stderr)"""
    runs = [str(results_folder(name)) for name in ("digits", "mnist")]
    lines = [["compare", *runs], ["data", "digits"], ["data", str(tmp_path)]]
    done = python(code, json.dumps(lines))
    assert (done.returncode, done.stderr.split()) == (0, [])
    for part in ("real mnist", "images (1438, 8, 8, 1)", "images (2, 8, 8, 1)", "1  dog"):
        assert part in done.stdout


def test_no_discriminator_is_built_where_none_is_loaded(monkeypatch):
    monkeypatch.setattr(runs, "build_discriminator", None)
    assert load_pretrained("digits").sample(7).shape == (1, 8, 8, 1)


def test_a_shell_may_close_stderr(tmp_path):
    "Python then has no `sys.stderr`, and file descriptor 2 may be anything."
    line = f"'{sys.executable}' -c 'from acgan_nb.cli import main; main()' sample digits --out 'a.png' 2>&-"
    assert subprocess.run(line, shell=True, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.png").exists()


def test_nothing_but_the_progress_bar_on_stderr(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    code = """import sys
from acgan_nb.cli import main
for line in sys.argv[1:]:
    main(line.split(), standalone_mode=False)"""
    lines = ["train digits --steps 3 --outdir run", "evaluate run --samples 60 --pairs 3 --gan-train-samples 60"
             " --gan-train-steps 2"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, *lines], cwd=tmp_path, env=environment, capture_output=True,
                          text=True)  # fmt: skip
    rest = re.sub(r"[^\n]*\d%\|[^\n]*|\s", "", done.stderr)  # without progress bars
    assert (done.returncode, rest) == (0, ""), done.stderr


@pytest.mark.parametrize("command", [[], *([c] for c in COMMANDS)], ids=["acgan", *COMMANDS])
def test_help_without_tensorflow(command):
    blocked = "import sys; sys.modules.update(tensorflow=None, keras=None, jax=None)\n"
    done = python(blocked + "from acgan_nb.cli import main; main()", *command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name in COMMANDS if not command else (p.opts[0] for p in main.commands[command[0]].params):
        assert name.upper() in done.stdout.upper()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_row_is_an_option(row):
    option = OPTIONS[row.name]
    assert option.default == row.default and option.help == row.help
    assert tuple(getattr(option.type, "choices", ())) == row.choices
    assert bool(option.secondary_opts) == (row.kind is bool and not row.choices)


def passed(monkeypatch, arguments="", data="digits"):
    "The keywords that `acgan train DATA ARGUMENTS` hands to `fit`."
    caught = {}

    def caught_fit(data, **keywords):
        caught.update(keywords, **({} if data == "digits" else {"data": data}))
        raise ValueError("enough")

    monkeypatch.setattr(acgan_nb.train, "fit", caught_fit)
    monkeypatch.setattr(settings, "_check_combinations", lambda s: None)  # one option at a time
    assert CliRunner().invoke(main, ["train", *data.split(), *arguments.split()]).exit_code == 2
    return caught


def test_defaults_are_those_of_fit(monkeypatch):
    found = passed(monkeypatch)
    assert found == DEFAULTS
    assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in DEFAULTS.items()}
    signature = inspect.signature(fit).parameters
    for name in signature.keys() & ROWS.keys():
        assert signature[name].default == ROWS[name].default, name
    assert len(signature) <= 18 and signature.keys() - ROWS.keys() == {
        "data", "config", "outdir", "resume", "callbacks", "verbose", "settings"}


@pytest.mark.parametrize("flag", REACHED)
def test_keyword_is_reached(flag, monkeypatch):
    name, arguments, value = REACHED[flag]
    assert value != DEFAULTS[name]
    assert passed(monkeypatch, arguments) == {**passed(monkeypatch), name: value}


@pytest.mark.parametrize("line", ["digits --mixed-precision auto", "--mixed-precision=auto digits",
                                  "--mixed-precision digits", "digits --mixed-precision --flip"])
def test_a_switch_takes_a_word_of_its_own_alone(line, monkeypatch):
    caught = []
    monkeypatch.setattr(cli, "settings_from", caught.append)
    CliRunner().invoke(main, ["train", *line.split(), "--outdir", __file__])  # which is refused
    assert caught[0]["mixed_precision"] == ("auto" if "auto" in line else True)


@pytest.mark.parametrize("name", [row.name for row in ROWS.values() if row.kind is bool])
def test_a_switch_can_be_turned_off(name, monkeypatch):
    "So that a run is replayed without what it had."
    assert passed(monkeypatch, f"--no-{ROWS[name].flag_names[0]}")[name] is False


def test_settings_of_another_run_give_way_to_what_is_on_the_command_line(monkeypatch):
    found = passed(monkeypatch, "--config mnist --epochs 2 --activation-noise 0.1", data="")
    there = {"data": "mnist", "outdir": Path("runs/mnist"), "config": Path("mnist"), "arch": "mnist"}
    assert found == DEFAULTS | there | {"epochs": 2, "evaluate_every": 300}
    assert passed(monkeypatch, "--config mnist")["activation_noise"] == 0
    said = CliRunner().invoke(main, ["train"])
    assert said.exit_code == 2 and "Missing argument 'DATA'" in said.output


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    "A run of the command line: two steps, then three more."
    run = tmp_path_factory.mktemp("runs") / "digits"
    train = ["train", "digits", "--outdir", run, "--log-every", 1, "--quiet"]
    assert f"{run}: 2 steps of digits in" in acgan(*train, "--steps", 2)
    assert f"{run}: 5 steps of digits in" in acgan(*train, "--steps", 5)
    return run


@pytest.mark.parametrize("flags", ["fpu avx512_bf16", "amx_bf16", "fpu avx512f", None])
def test_automatic_precision_is_that_of_the_processor_or_of_the_run(flags, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(devices.keras.distribution, "list_devices", lambda: ["cpu:0"])
    if flags:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")

    def precision(outdir=None, **options):
        return check_fit("digits", outdir=outdir, mixed_precision="auto", **options).config["mixed_precision"]

    native = "bf16" in (flags or "")
    assert precision() is precision(digits, resume=False) is native
    assert precision(digits) is False
    other = RunDirectory(tmp_path / "run")
    other.prepare()
    other.write_config(check_fit("digits", mixed_precision=True).config)
    assert precision(other.path) is True and Training(check_fit("digits", outdir=other.path, mixed_precision="auto"))
    other.write_config(check_fit("digits").config | {"mixed_precision": "auto"})
    with pytest.raises(ValueError, match="one of True, False, got 'auto'"):
        other.read_config()


def png(path):
    return np.asarray(Image.open(path))


def test_run_directory(digits):
    names = {"config.json", "history.csv", "samples", "samples.gif"}
    assert {p.name for p in digits.iterdir()} >= names | {"checkpoint", "generator.weights"}
    assert {p.name for p in digits.glob(".*")} <= {".lock"}
    config = json.loads((digits / "config.json").read_text())
    expected = {"steps": 5, "arch": "digits", **{r.name: r.default for r in ROWS.values() if r.reading}}
    expected["g_class_weight"] = expected["class_weight"]
    assert expected.items() <= config.items()
    assert config["fingerprint"] == load("digits").fingerprint
    with open(digits / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert list(history[0]) == ["step", "epoch", "seconds", *LOGS]
    assert [row["step"] for row in history] == list("12345")
    assert all(np.isfinite([float(v) for v in row.values()]).all() for row in history)
    grids = sorted(p.name for p in (digits / "samples").iterdir())
    assert {"step_000002.png", "step_000005.png"} <= set(grids)
    assert png(digits / "samples" / "step_000005.png").shape[0] == 10 * 9 - 1
    assert Image.open(digits / "samples.gif").n_frames == len(grids)


def test_resumed_run_is_the_whole_run(digits):
    whole = fit("digits", arch="digits", steps=5, log_every=1, verbose=False)
    resumed = load_run(digits)
    assert resumed.history["d_loss"] == whole.history["d_loss"]
    assert digest(resumed.gan.weights) == digest(whole.gan.weights)


def test_sample(digits, tmp_path):
    assert acgan("sample", digits).strip() == str(digits / "sample.png")
    assert png(digits / "sample.png").shape == (10 * 9 - 1, 10 * 9 - 1)
    grid = tmp_path / "new" / "grid.PNG"
    acgan("sample", digits, "--label", 7, "--count", 6, "--columns", 3, "--seed", 1, "--out", grid)
    expected = load_run(digits).sample(7, 6, seed=1)
    assert png(grid).shape == (2 * 9 - 1, 3 * 9 - 1)
    assert (png(grid)[:8, :8] == expected[0, ..., 0]).all()
    acgan("sample", digits, "--label", 7, "--count", 6, "--seed", 1, "--out", tmp_path / "some")
    found = sorted(p.relative_to(tmp_path).as_posix() for p in (tmp_path / "some").rglob("*.png"))
    assert found == [f"some/7/{i:05d}.png" for i in range(6)]
    assert (png(tmp_path / found[5]) == expected[5, ..., 0]).all()
    acgan("sample", digits, "--count", 2, "--out", tmp_path / "all")
    mixed = CliRunner().invoke(main, ["sample", str(digits), "--out", str(tmp_path / "all")])
    assert mixed.exit_code == 2 and "holds samples already; choose a new folder" in mixed.output
    assert load(tmp_path / "all").class_counts.tolist() == [2] * 10


def test_sample_of_the_package(digits, tmp_path, monkeypatch):
    "A name that is no folder is a shipped generator's; a folder of that name goes first."
    monkeypatch.chdir(tmp_path)
    assert acgan("sample", "digits", "--label", 3, "--count", 6).strip() == "digits.png"
    shipped = png("digits.png")
    assert (shipped[:8, :8] == load_pretrained("digits").sample(3, 6)[0, ..., 0]).all()
    shutil.copytree(digits, "digits")
    own = Path("digits", "sample.png")
    assert acgan("sample", "digits", "--label", 3, "--count", 6).strip() == str(own)
    assert (png(own) != shipped).any()
    failed = CliRunner().invoke(main, ["sample", "digit"])
    assert failed.exit_code == 2 and "no run in 'digit'" in failed.stderr


def test_plot(digits):
    before = plt.get_fignums()
    written = [Path(line) for line in acgan("plot", digits, "--coordinate", 3).split()]
    assert plt.get_fignums() == before
    assert {p.name for p in written} >= {"curves.png", "latent_sweep.png", "real_and_generated.png"}
    assert all(p.parent == digits and png(p).std() > 5 for p in written)


def test_evaluate_and_compare(digits, tmp_path):
    options = "--samples", 200, "--gan-train-seeds", 1, "--gan-train-samples", 300
    options += "--gan-train-steps", 5
    said = acgan("evaluate", digits, *options)
    report = json.loads((digits / "report.json").read_text())
    fake, real = report["generated"], report["real"]
    assert (fake["images"], report["settings"]["test_images"]) == (200, 359)
    assert report["run"]["step"] == 5
    assert report["judge"]["accuracy_on_real_test"] > 0.98 and fake["gan_train"] < 0.9
    assert real["gan_test"] > 0.98 and real["frechet_distance"] < fake["frechet_distance"]
    assert fake["gan_test"] == pytest.approx(np.mean(fake["gan_test_by_class"]))
    assert report["judge"]["hash"] in said and f"{fake['gan_train']:.1%}" in said
    page = (digits / "report.html").read_text()
    images = re.findall(r'<img alt="([^"]+)" src="([^"]{20})', page)
    assert len(images) >= 9 and all(src.startswith("data:image/png") for _, src in images)
    assert all(key in page for key in (report["judge"]["hash"], "figure 3", "figure 8"))
    shutil.copytree(digits, tmp_path / "other")
    table = acgan("compare", digits, tmp_path / "other").splitlines()
    assert table[0].split() == ["measure", "better", digits.name, "real", "digits", "other"]
    assert any(f"{fake['gan_train']:.1%}" in line for line in table)


def test_best_generator(tmp_path):
    run = tmp_path / "run"
    with pytest.warns(CollapseWarning):
        acgan("train", "digits", "--steps", 6, "--evaluate-every", 2, "--outdir", run, "--quiet")
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["step"]) for row in rows] == [2, 4, 6]
    assert all(float(row["frechet_distance"]) > 0 for row in rows)
    acgan("sample", run, "--best", "--out", run / "best.png")
    acgan("evaluate", run, "--best", "--truncation", 1.5, "--gan-train-seeds", 0)
    report = json.loads((run / "report_best_truncation_1.5.json").read_text())
    assert report["run"]["truncation"] == 1.5 and (run / "report_best_truncation_1.5.html").exists()
    assert not (run / "report.json").exists()
    (run / "best.weights").unlink()
    failed = CliRunner().invoke(main, ["sample", str(run), "--best"])
    assert failed.exit_code == 2 and "train with evaluate_every" in failed.stderr


def test_replacing_a_run_leaves_what_is_not_a_runs(tmp_path):
    train = "train", "digits", "--steps", 2, "--outdir", tmp_path, "--quiet"
    acgan(*train)
    (tmp_path / "tensorboard").mkdir()
    mine = [tmp_path / name for name in ("report.md", "samples/mine.png", "tensorboard/notes")]
    old = [tmp_path / name for name in ("report.json", "report_best.html", "samples/step_000099.png",
                                        "tensorboard/events.out.tfevents.1")]
    for path in mine + old:
        path.write_text("something")
    acgan(*train, "--no-resume")
    assert all(path.read_text() == "something" for path in mine)
    assert not [path for path in old if path.exists()]


def test_replacing_takes_runs_only(tmp_path):
    mine = {"config.json": '{"mine": 1}', "report.json": "{}"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    for more in ([], ["--no-resume"]):
        train = ["train", "digits", "--steps", "2", "--outdir", str(tmp_path), "--quiet", *more]
        failed = CliRunner().invoke(main, train)
        assert failed.exit_code == 2 and "choose another outdir" in failed.stderr
        assert "resume=False" not in failed.stderr
        assert {name: (tmp_path / name).read_text() for name in mine} == mine
    (tmp_path / "config.json").unlink()
    failed = CliRunner().invoke(main, train)  # an evaluation would replace the report
    assert failed.exit_code == 2 and "holds a report.json that is no run's" in failed.stderr


def write_classes(root, count, mode="L"):
    "Two folders of `count` flat images, 8x8 pixels."
    for k in range(2):
        (root / f"{k}").mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(np.full((8, 8), 90 * k + 3 * i, "uint8"))
            image.convert(mode).save(root / f"{k}" / f"{i}.png")


def test_a_run_among_the_classes(tmp_path, monkeypatch):
    write_classes(tmp_path / "pets", 9)
    monkeypatch.chdir(tmp_path / "pets")
    train = ["train", ".", "--steps", "2", "--batch-size", "9", "--quiet"]
    failed = CliRunner().invoke(main, train)
    assert failed.exit_code == 2 and "would become one of their classes" in failed.stderr
    (tmp_path / "pets" / "test" / "0").mkdir(parents=True)  # the classes stay where they are
    failed = CliRunner().invoke(main, train)
    assert failed.exit_code == 2 and "would become one of their classes" in failed.stderr
    assert not Path("runs").exists()
    monkeypatch.chdir(tmp_path / "pets" / "0")
    assert "runs/pets: 2 steps" in acgan("train", "..", *train[2:], "--outdir", "../../runs/pets")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert acgan("train", "../pets/.", *train[2:]).startswith("runs/pets: 2 steps")


def test_the_folder_of_images_is_no_run_directory(tmp_path):
    write_classes(tmp_path / "pets", 9)
    for command in (
        ["train", "--steps", "2", "--outdir", str(tmp_path / "pets")],
        ["sweep", "-g", "seed=0,1", "--outdir", str(tmp_path / "pets" / "sweep")],
        ["splits", "--group-size", "1", "--outdir", str(tmp_path / "pets" / "splits")],
    ):
        failed = CliRunner().invoke(main, [command[0], str(tmp_path / "pets"), *command[1:]])
        assert failed.exit_code == 2 and "would become one of their classes" in failed.stderr
    assert sorted(p.name for p in (tmp_path / "pets").iterdir()) == ["0", "1"]


def test_a_run_that_was_stopped_before_its_first_row(tmp_path):
    def stop(batch, logs):
        if batch == 1:
            signal.raise_signal(signal.SIGINT)

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        fit("digits", steps=9, callbacks=callback, outdir=tmp_path, verbose=False)
    run = load_run(tmp_path)
    assert run.history["step"] == [] and run.step > 0
    again = acgan("train", "digits", "--steps", run.step, "--outdir", tmp_path, "--quiet")
    assert f"{run.step} steps of tiny in 0 s" in again


def test_a_report_that_cannot_be_written_was_printed(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "run", ignore=shutil.ignore_patterns("report*"))
    (tmp_path / "run" / "report.json").mkdir()
    options = "--gan-train-seeds", "0", "--samples", "200", "--pairs", "5"
    failed = CliRunner().invoke(main, ["evaluate", str(tmp_path / "run"), *options])
    assert failed.exit_code == 2 and "report.json" in failed.stderr
    assert "GAN-test" in failed.stdout


def test_data_is_described_as_training_sees_it(tmp_path):
    for k in "ab":
        (tmp_path / k).mkdir()
        Image.new("L", (200, 150)).save(tmp_path / k / "0.png")
    assert "images (2, 128, 128, 1)" in acgan("data", tmp_path)
    assert "images (2, 20, 20, 1)" in acgan("data", tmp_path, "--size", 20)


def test_a_grid_of_samples_is_a_png(digits, tmp_path):
    wrong = tmp_path / "grid.jpg"
    failed = CliRunner().invoke(main, ["sample", str(digits), "--out", str(wrong)])
    assert failed.exit_code == 2 and "a grid is a PNG file" in failed.stderr and not wrong.exists()


def test_values_of_a_grid():
    words = {"true": True, "True": True, ".9": 0.9, "1e-4": 1e-4, "joint": "joint", "None": None}
    assert {word: cli._value(word) for word in words} == words


def test_command_of_a_weight_that_is_the_default_only_alone(tmp_path):
    both = check_fit("digits", class_weight=0.5, g_class_weight=1.0)
    assert "--class-weight 0.5 --g-class-weight 1.0" in train_command(both.config)
    assert "g-class-weight" not in train_command(check_fit("digits", class_weight=0.5).config)


@pytest.fixture
def quick_judges(monkeypatch):
    "Judges of own images are trained for a few steps."
    recipe_for = judges.recipe_for
    quick = lambda data: dataclasses.replace(recipe_for(data), steps=9)
    monkeypatch.setattr(judges, "recipe_for", quick)


def test_plots_that_need_no_images_are_made_without_them(digits, tmp_path):
    moved = Path(shutil.copytree(digits, tmp_path / "moved"))
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    done = CliRunner().invoke(main, ["plot", str(moved)])
    assert done.exit_code == 2 and "no folder" in done.output
    assert (moved / "curves.png").is_file() and (moved / "latent_sweep.png").is_file()


def test_data_that_moved(tmp_path, quick_judges):
    for split in ("train", "test"):
        write_classes(tmp_path / "old" / split, 20)
    run = tmp_path / "run"
    train = "--steps", 2, "--batch-size", 10, "--outdir", run, "--quiet"
    acgan("train", tmp_path / "old", *train)
    (tmp_path / "old").rename(tmp_path / "new")
    failed = CliRunner().invoke(main, ["plot", str(run)])
    assert failed.exit_code == 2 and "no folder" in failed.stderr
    acgan("plot", run, "--data", tmp_path / "new")
    options = "--gan-train-seeds", 0, "--samples", 40
    assert "of 40 real test images" in acgan("evaluate", run, "--data", tmp_path / "new", *options)
    acgan("train", tmp_path / "new", *train)  # it has had its steps, and learns where the data are
    acgan("plot", run)


def test_a_finished_run_says_what_it_leaves_undone(tmp_path):
    options = dict(outdir=tmp_path, steps=2, verbose=False)
    fit("digits", **options)
    with pytest.warns(UserWarning, match="has had its 2 steps: nothing was left to evaluate"):
        fit("digits", evaluate_every=1, **options)


def test_one_setting_twice_in_a_sweep():
    sweep = ["sweep", "cifar10", "--preset", "paper27", "--lr", "5e-5"]
    failed = CliRunner().invoke(main, sweep)
    assert failed.exit_code == 2 and "learning_rate is in the grid already" in failed.stderr


def test_a_grey_run_is_compared_with_grey_images(tmp_path):
    for split, mode in (("train", "L"), ("test", "RGB")):
        write_classes(tmp_path / "pets" / split, 10, mode)
    fit(tmp_path / "pets", steps=1, batch_size=10, outdir=tmp_path / "run", verbose=False)
    assert run_data(load_run(tmp_path / "run"), "test").images.shape == (20, 8, 8, 1)


def test_a_film_keeps_its_colours(tmp_path):
    rng = np.random.default_rng(0)
    sheet = (np.linspace(0, 255, 64)[None, :, None] * rng.random((64, 1, 3))).astype("uint8")
    (tmp_path / "samples").mkdir()
    for step in (1, 2):
        Image.fromarray(sheet).save(tmp_path / "samples" / f"step_{step:06d}.png")
    RunDirectory(tmp_path).write_film(height=64)
    film = Image.open(tmp_path / "samples.gif")
    web_colours = Image.fromarray(sheet).convert("P")
    far, too_far = (
        np.abs(np.asarray(i.convert("RGB"), int) - sheet).mean() for i in (film, web_colours)
    )
    assert far < 0.6 * too_far


def test_a_finished_run_without_its_sheets(tmp_path):
    train = "train", "digits", "--steps", 2, "--outdir", tmp_path / "run", "--quiet"
    acgan(*train)
    shutil.rmtree(tmp_path / "run" / "samples")
    acgan(*train)
    export_run(load_run(tmp_path / "run"), tmp_path / "small")
    assert load_run(tmp_path / "small").sample(3).shape == (1, 8, 8, 1)


def test_evaluation_needs_test_images_first(tmp_path, quick_judges):
    for split, count in (("train", 20), ("held out", 12)):
        write_classes(tmp_path / "pets" / split, count)
    run = tmp_path / "run"
    acgan("train", tmp_path / "pets", "--steps", 2, "--batch-size", 10, "--outdir", run, "--quiet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judges, "train_judge", None)
        failed = CliRunner().invoke(main, ["evaluate", str(run), "--samples", "1"])
        assert failed.exit_code == 2 and "samples must be a whole number at least 10" in failed.stderr
        failed = CliRunner().invoke(main, ["evaluate", str(run)])
        assert failed.exit_code == 2 and "no sub-folder 'test' with one" in failed.stderr
    for split, count in (("held out", 24), ("train", 40)):
        options = "--test-split", split, "--gan-train-seeds", 0
        assert f"of {count} real test images" in acgan("evaluate", run, *options)


@pytest.mark.usefixtures("with_graphs")
def test_judge_can_be_made_again(tmp_path, monkeypatch):
    tiny = dataclasses.replace(judges.RECIPES["digits"], steps=60)
    monkeypatch.setitem(judges.RECIPES, "digits", tiny)
    said = acgan("judge", "digits", "--outdir", tmp_path)
    made = judges.load_judge("digits", tmp_path)
    about, test = made.about, load("digits", "test")
    assert made.hash in said and about["accuracy_on_real_test"] > 0.9
    assert about["accuracy_on_real_test"] == made.accuracy(test.images, test.labels)
    assert (about["test_images"], about["test_fingerprint"]) == (len(test), test.fingerprint)
    assert about["command"] == "acgan judge digits --seed 0"


def test_data():
    listed = acgan("data")
    assert all(name in listed for name in ("digits", "mnist", "fashion_mnist", "cifar10", "folder"))
    said = acgan("data", "digits", "--classes", "3,7", "--split", "test", "--size", 16)
    data = load("digits", "test", classes=[3, 7], size=16)
    assert data.fingerprint in said and repr(data) in said
    counts = [[str(np.sum(load_digits().target[4::5] == c)), str(c)] for c in (3, 7)]
    assert [line.split() for line in said.splitlines()[-2:]] == counts


FOLDERS = {"grey": (["L", "L"], 1), "grey and colour": (["L", "RGB"], 3)}


@pytest.fixture(scope="module", params=FOLDERS.values(), ids=FOLDERS)
def pets(request, tmp_path_factory):
    "A run of two steps on a folder of four train and three test images, 11x9 pixels, per class."
    root, (modes, channels) = tmp_path_factory.mktemp("folder"), request.param
    rng = np.random.default_rng(0)
    for name, mode in zip(("cats", "dogs"), modes):
        for i in range(7):
            path = root / "pets" / ("train" if i < 4 else "test") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (9, 11, len(mode)), "uint8")
            Image.fromarray(pixels.squeeze()).save(path)
    train = ["train", root / "pets", "--outdir", root / "run", "--batch-size", 4]
    assert "2 steps of digits in" in acgan(*train, "--steps", 2, "--quiet")
    return load_run(root / "run"), channels


def test_folder(pets):
    run, channels = pets
    assert (run.config["arch"], run.config["image_shape"]) == ("digits", [8, 8, channels])
    assert (run.config["class_names"], run.config["images"]) == (["cats", "dogs"], 8)
    assert run_data(run).fingerprint == run.config["fingerprint"]
    acgan("plot", run.outdir)
    acgan("sample", run.outdir, "--label", 1)
    assert png(run.outdir / "sample.png").ndim == (2 if channels == 1 else 3)


def test_folder_has_a_test_split(pets):
    assert len(run_data(pets[0], "test")) == 6


def test_interrupted_by_ctrl_c_says_how_to_go_on(tmp_path):
    command = [Path(sys.executable).with_name("acgan"), "train", "digits", "--steps", "9999"]
    command += ["--save-every", "5", "--quiet", "--outdir", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "run" / "checkpoint").exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    line = err.strip().rpartition("\n")[2]
    assert process.returncode == 130
    assert line.startswith("acgan: stopped by SIGINT after step") and "all of it saved" in line
