"What real users bring: folders of others, links, full disks, damaged side files, strange names."

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from acgan_nb import storage, sweeps, trials
from acgan_nb.cli import main, save_images
from acgan_nb.directory import RunDirectory
from acgan_nb.runs import export_run, load_run
from acgan_nb.train import fit

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1)).astype("uint8")
LABELS = np.arange(40) % 4
DATA = PIXELS, LABELS
FEW = dict(steps=2, batch_size=20, verbose=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return fit(DATA, outdir=tmp_path_factory.mktemp("users") / "run", **FEW)


@pytest.fixture
def outdir(run, tmp_path):
    "A copy of a finished run."
    return Path(shutil.copytree(run.outdir, tmp_path / "run"))


def contents(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def line(call, error=ValueError):
    "The one line with which a call is refused."
    with pytest.raises(Exception) as caught:
        call()
    text = str(caught.value)
    assert isinstance(caught.value, error) and "\n" not in text and len(text) < 300, repr(caught.value)
    return text


# --- A: files of others ---

FOREIGN = {
    "config.json": '{"model_type": "bert"}',
    "checkpoint": "of another program",
    "generator.weights": "w",
    "best.weights": "w",
    "history.csv": "date,price\n",
    "samples.gif": "GIF89a",
    "report.html": "<p>mine",
    "samples/step_000000.png": "mine",
    "judge.json": "{}",
}


@pytest.mark.parametrize("names", [[*FOREIGN], *([name] for name in FOREIGN)], ids=len)
@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_somebody_else_is_refused_and_left_alone(names, resume, tmp_path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(FOREIGN[name])
    before = contents(tmp_path)
    said = line(lambda: fit(DATA, outdir=tmp_path, resume=resume, **FEW))
    assert "that is no run's; choose another outdir" in said and "resume" not in said
    assert contents(tmp_path) == before and not (tmp_path / ".lock").exists()


def test_a_folder_of_somebody_else_is_not_exported_to(run, tmp_path):
    (tmp_path / "history.csv").write_text("mine")
    assert "history.csv that is no run's" in line(lambda: export_run(run, tmp_path))
    assert contents(tmp_path) == {tmp_path / "history.csv": b"mine"}


@pytest.mark.parametrize("lost", ["config.json", "checkpoint checkpoint.previous", "samples.gif"])
def test_a_run_that_lost_files_is_still_a_run(lost, outdir):
    for name in lost.split():
        (outdir / name).unlink()
    (outdir / "notes.txt").write_text("mine")
    directory = RunDirectory(outdir)
    directory.prepare()
    directory.clear()
    assert set(contents(outdir)) - {outdir / ".lock"} == {outdir / "notes.txt"}


def test_a_run_written_before_is_recognised(outdir):
    "Of an earlier version, which knew fewer settings, or a later one, which knows more."
    for name in ("checkpoint", "checkpoint.previous", "generator.weights"):
        (outdir / name).unlink()
    config = json.loads((outdir / "config.json").read_text())
    for change in ({"of_tomorrow": 1}, {}):
        (outdir / "config.json").write_text(json.dumps(config | change))
        assert storage.holds_run(outdir)
    del config["class_head"]
    (outdir / "config.json").write_text(json.dumps(config))
    assert storage.holds_run(outdir)


@pytest.mark.parametrize("name", [".lock", "samples", "config.json", "history.csv", "anything"])
def test_no_link_of_a_run_directory_is_followed(name, outdir, tmp_path):
    target = tmp_path / "target"
    target.mkdir() if name == "samples" else target.write_text("mine")
    shutil.rmtree(outdir / name) if name == "samples" else (outdir / name).unlink(missing_ok=True)
    (outdir / name).symlink_to(target)
    before = contents(tmp_path)
    assert "is a symbolic link" in line(lambda: fit(DATA, outdir=outdir, **FEW))
    assert contents(tmp_path) == before


def test_a_lock_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / ".lock").write_text("mine")
    assert ".lock" in line(lambda: fit(DATA, outdir=tmp_path, **FEW))
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a symbolic link"), storage.locked(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_temporary_names_cannot_be_foreseen_and_two_writers_do_not_meet(tmp_path):
    for name in (".note.tmp", ".probe"):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with storage.replacing(tmp_path / "note") as first, storage.replacing(tmp_path / "note") as second:
        first.write(b"1")
        second.write(b"2")
    assert (tmp_path / "note").read_bytes() == b"1" and not (tmp_path / "elsewhere").exists()
    RunDirectory(tmp_path / "run").prepare()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".note.tmp", ".probe", "note", "run"]


def test_what_a_killed_process_left_is_tidied_up(outdir):
    for folder in (outdir, outdir / "samples"):
        (folder / ".acgan-0123456789abcdef.tmp").write_text("half of a checkpoint")
        (folder / ".mine.tmp").touch()
    with RunDirectory(outdir).lock():
        assert {p.name for p in outdir.rglob(".*")} == {".lock", ".mine.tmp"}


def test_a_trial_that_is_a_link_or_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "seed=0").symlink_to(tmp_path / "target")
    grid = [{"seed": 0}, {"seed": 1}]
    assert "seed=0 is a symbolic link" in line(lambda: sweeps.sweep(DATA, grid, tmp_path / "out", batch_size=20))
    (tmp_path / "out" / "seed=0").unlink()
    (tmp_path / "out" / "seed=1").mkdir()
    (tmp_path / "out" / "seed=1" / "history.csv").touch()
    assert "history.csv that is no run's" in line(lambda: sweeps.sweep(DATA, grid, tmp_path / "out", batch_size=20))
    assert not list((tmp_path / "target").iterdir()) and len(list((tmp_path / "out").iterdir())) == 1
    folder = trials.run_folder(tmp_path, "a", 0)
    folder.symlink_to(tmp_path / "target")
    options = dict(seeds=[0], samples=2000, verbose=False)
    assert "is a symbolic link" in line(lambda: trials.run_trials("digits", {"a": {}}, tmp_path, **options))


def test_a_record_does_not_replace_files_of_others(tmp_path):
    rows = [{"trial": "paper", "seed": 0, "steps": 9, "seconds": 2.5}]
    where = storage.results_folder("digits")
    for name, text in {"config.json": '{"model_type": "bert"}', "table.csv": "mine"}.items():
        (tmp_path / name).write_text(text)
        assert f"{name} that is no record's" in line(lambda: trials.write_record(tmp_path, rows, where))
        assert (tmp_path / name).read_text() == text
        (tmp_path / name).unlink()
    trials.write_record(tmp_path, rows, where)
    trials.write_record(tmp_path, rows, where)


def test_a_full_disk_leaves_the_old_picture(tmp_path, monkeypatch):
    images = PIXELS[:4]
    save_images(images, [0] * 4, tmp_path / "grid.png")
    save_images(images, [0] * 4, tmp_path / "folder")
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for out in ("grid.png", "folder"):
        said = line(lambda: save_images(255 - images, [0] * 4, tmp_path / out), OSError)
        assert "cannot write" in said and "No space left" in said
    assert contents(tmp_path) == before
