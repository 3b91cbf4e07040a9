"Networks of any size, images of any shape, and runs that start from the weights of others."

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from acgan_nb.cli import main
from acgan_nb.data import Dataset, load
from acgan_nb.architectures import arch_for, architecture_of, ladder
from acgan_nb.models import build_discriminator, build_generator
from acgan_nb.plan import check_fit, train_command
from acgan_nb.runs import build_gan, export_run, run_data
from acgan_nb.start import load_start
from acgan_nb.storage import digest
from acgan_nb.train import fit, load_pretrained, load_run

OFTEN = dict(batch_size=10, log_every=1, verbose=False)
DATA = load("digits").subset([3, 5, 7])


pytestmark = pytest.mark.usefixtures("without_graphs")


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (28, 28), (31, 47), (48, 64), (100, 130), (191, 1024), (192, 999)])
def test_a_table_is_made_for_every_size(size):
    "Its start is as small as the rule allows, its rows lead to the image, and maps do not grow again."
    made = architecture_of("image{}x{}".format(*size))
    start, *steps = ladder(made)
    assert steps[-1] == size
    assert 6 <= min(start) < 12 if min(size) >= 48 else 2 <= min(start) <= 7
    assert all(b[i] - 2 * a[i] in (0, 1) for a, b in zip([start, *steps], steps) for i in (0, 1))
    assert [row.maps for row in made.generator] == sorted((r.maps for r in made.generator), reverse=True)
    assert arch_for(*size) in ("digits", "mnist", "image{}x{}".format(*size))


def test_networks_of_a_shape():
    g, d = (build(image_shape=(9, 14, 1), num_classes=3) for build in (build_generator, build_discriminator))
    assert (g.output_shape, d.input_shape) == ((None, 9, 14, 1), (None, 9, 14, 1))
    named = build_generator("image9x14", 3, channels=1)
    assert digest(g.weights) == digest(named.weights)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Photographs of two classes: wide, tall, and of the shape of a frame of 10x14 pixels."
    root = tmp_path_factory.mktemp("any") / "photos"
    rng = np.random.default_rng(0)
    for k, name in enumerate(("süß & sauer", "b")):
        for split, count in (("train", 8), ("test", 3)):
            (root / split / name).mkdir(parents=True)
            for i, (w, h) in enumerate([(40, 20), (20, 40), (28, 20)] * count):
                pixels = rng.integers(0, 256, (h, w, 3), "uint8") // (1 + k)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


def test_a_run_of_a_rectangle(folder, capsys):
    run = fit(folder, size="10x14", framing="pad", steps=1, outdir=folder.parent / "run",
              **{**OFTEN, "verbose": True})
    said = capsys.readouterr().out
    assert f"{str(folder)!r}: 32 of 48 images have another shape than 10x14: black bars are" in said
    assert (run.config["arch"], run.config["image_shape"]) == ("image10x14", [10, 14, 3])
    again = load_run(run.outdir)
    assert np.array_equal(again.sample("b", 2), run.sample(0, 2))
    assert run.sample(1, 1).shape == (1, 10, 14, 3)
    found = run_data(again)
    assert found.fingerprint == run.config["fingerprint"]
    assert run_data(again, "test").images.shape == (18, 10, 14, 3)
    wide = found.images[found.labels == 0][0]
    assert wide[:1].max() == wide[-1:].max() == 0 < wide[5].min() + wide[5].max()  # two black bars
    assert all(f" {part} " in train_command(run.config) for part in ("--fit pad", "--arch image10x14"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    "A run of two steps that others start from."
    return fit(DATA, steps=2, outdir=tmp_path_factory.mktemp("source") / "first", **OFTEN)


@pytest.fixture(scope="module")
def later(source, tmp_path_factory):
    "The options of runs that start from a copy of it, and one of two steps."
    root = tmp_path_factory.mktemp("later")
    start = dict(init=root / "copy", learning_rate=1e-4, activation_noise=0.3, **OFTEN)
    shutil.copytree(source.outdir, start["init"])
    return start, fit(DATA, steps=2, outdir=root / "whole", **start)


def test_all_weights_are_taken_over_and_settings_are_not(source, later):
    run, gan = later[1], build_gan(later[1].config)
    line = load_start(source.outdir, run.config).apply(gan)
    assert line == f"starts from the weights of {str(source.outdir)!r}, step 2; nothing is new"
    for network in ("generator", "ema_generator"):
        assert digest(getattr(gan, network).weights) == digest(getattr(source.gan, network).weights)
    assert digest(gan.discriminator.trainable_weights) == digest(source.gan.discriminator.trainable_weights)
    sigma = [float(w) for w in gan.discriminator.weights if w.name == "stddev"]
    assert sigma == pytest.approx([0.3] * 4)
    assert digest(gan.generator.weights) != digest(gan.ema_generator.weights)


def test_a_run_that_started_from_another_counts_from_0_and_tells(source, later):
    start, run = later
    grids = source.outdir / "samples" / "step_000002.png", run.outdir / "samples" / "step_000000.png"
    assert grids[0].read_bytes() == grids[1].read_bytes()
    config = json.loads((run.outdir / "config.json").read_text())
    assert config["init"] == str(start["init"]) and len(config["init_weights"]) == 12
    assert f"--init {start['init']}" in train_command(config) and run.step == 2
    assert json.loads((source.outdir / "config.json").read_text())["init_weights"] is None
    assert load_pretrained("digits").config["init"] is None


def test_resumed_without_its_source_it_is_the_uninterrupted_run(later, tmp_path):
    start, whole = later
    fit(DATA, steps=1, outdir=tmp_path / "parts", **start)
    start["init"].rename(tmp_path / "away")
    parts = fit(DATA, steps=2, outdir=tmp_path / "parts", **start)
    (tmp_path / "away").rename(start["init"])
    assert digest(parts.gan.weights) == digest(whole.gan.weights)
    assert parts.config["init_weights"] == whole.config["init_weights"]
    for options, line in (
        (dict(start, init=None), "init_weights='.*', not init_weights=None"),
        (dict(start, init="digits"), "init_weights='.*', not init_weights='"),
        (dict(start, learning_rate=2e-4), "with --init .*parts to use its weights"),
    ):
        with pytest.raises(ValueError, match=line):
            fit(DATA, steps=2, outdir=tmp_path / "parts", **options)


def test_a_replayed_run_is_the_same_run(source, capsys):
    again = fit(DATA, config=source.outdir, verbose=True)
    assert digest(again.gan.weights) == digest(source.gan.weights)
    line = f"from {source.outdir}: classes=['3', '5', '7'], steps=2, batch_size=10, log_every=1\n"
    assert capsys.readouterr().out == line


def test_what_is_given_wins_over_the_other_run(source, tmp_path, monkeypatch):
    "A default that is written out, and a learning rate for both networks, too; no data: its own."
    monkeypatch.setattr("acgan_nb.train.Training", lambda plan: SimpleNamespace(run=lambda: plan))
    plan = fit(config=source.outdir / "config.json", batch_size=100, learning_rate=1e-4, epochs=1)
    config = plan.config
    assert (config["batch_size"], config["d_learning_rate"], config["steps"]) == (100, 1e-4, 4)
    assert config["fingerprint"] == source.config["fingerprint"]  # the same three classes of digits
    assert plan.notes[0].endswith("batch_size=100, not 10, learning_rate=0.0001, not 0.0002, "
                                  "d_learning_rate=0.0001, not 0.0002")
    other = fit(Dataset(np.zeros((40, 8, 8), "uint8"), np.arange(40) % 2), config=source.outdir)
    assert other.config["class_names"] == ["0", "1"] and other.notes[0].endswith("the images are others")
    for change, line in (("{", "config.json is damaged"), ('{"data": "arrays"}', "there is no 'fingerprint'")):
        (tmp_path / "config.json").write_text(change)
        with pytest.raises(ValueError, match=line):
            fit(config=tmp_path)


def test_other_classes_and_a_copy_without_d(source, tmp_path):
    config = {**source.config, "class_names": list("abcd")}
    assert load_start(source.outdir, config).apply(build_gan(config)).endswith(
        "step 2; new: G's Dense 104x512, D's Dense 512x5")
    copy, config = export_run(source, tmp_path / "small"), {**source.config, "class_head": "adc"}
    gan = build_gan(config)
    assert load_start(copy, config).apply(gan).endswith("step 2; new: D")
    assert digest(gan.generator.weights) == digest(gan.ema_generator.weights)


@pytest.fixture(scope="module")
def bare(source, tmp_path_factory):
    "A run that was stopped before it saved weights."
    folder = tmp_path_factory.mktemp("bare")
    shutil.copy(source.outdir / "config.json", folder)
    return folder


REFUSED = {  # keywords, line
    "missing": (dict(init="runs/nowhere"), "no run in 'runs/nowhere': it has no config.json"),
    "misspelled": (dict(init="mnits"), "no run in 'mnits': it has no config.json; did you mean 'mnist'?"),
    "another architecture": (dict(init="mnist"), "init 'mnist' has arch='mnist', this run has arch='digits'"),
    "another z": (dict(latent_dim=9), "has latent_dim=100, this run has latent_dim=9"),
    "another head": (dict(class_head="adc"), "has class_head='acgan', this run has class_head='adc'"),
    "no run": (dict(init=7), "init must be a run directory or a name, got 7"),
    "itself": (dict(outdir="init"), "is the outdir itself; choose another outdir"),
    "itself, anew": (dict(outdir="init", resume=False), "is the outdir itself"),
    "no weights": (dict(init="bare"), "has saved no weights yet"),
}


@pytest.mark.parametrize(("options", "line"), REFUSED.values(), ids=REFUSED)
def test_refused(options, line, source, bare):
    options = {"init": source.outdir, **options}
    options |= {k: source.outdir for k, v in options.items() if v == "init"}
    options |= {k: bare for k, v in options.items() if v == "bare"}
    with pytest.raises((ValueError, OSError), match=".*") as caught:
        check_fit(DATA, steps=1, **options)
    assert line in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_missing_source_is_named_before_images_are_read(monkeypatch):
    monkeypatch.setattr("acgan_nb.plan.load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(OSError, match="no run in 'nowhere'"):
        check_fit("digits", init="nowhere")


def test_the_command_line_asks_only_a_new_run_for_its_source(later, tmp_path, monkeypatch):
    "One whose last checkpoint is lost goes on from the one before."
    shutil.copytree(later[1].outdir, tmp_path / "run")
    (tmp_path / "run" / "checkpoint").unlink()
    monkeypatch.setattr("acgan_nb.train.fit", lambda *_, **__: pytest.fail("trained", pytrace=False))
    command = ["train", "digits", "--init", str(tmp_path / "gone"), "--outdir"]
    said = CliRunner().invoke(main, [*command, str(tmp_path / "new")])
    assert said.exit_code == 2 and "gone': it has no config.json" in said.output
    with pytest.raises(pytest.fail.Exception, match="trained"):
        CliRunner().invoke(main, [*command, str(tmp_path / "run")], catch_exceptions=False)
