"Runs on the Hugging Face Hub: a folder stands in for the network's other side."

import inspect
import json
import shutil
import sys
from pathlib import PureWindowsPath
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from acgan_nb.card import load_tensors, write_hub_folder
from acgan_nb.cli import main
from acgan_nb.data import Dataset, image_grid
from acgan_nb.hub import FILES, check_repository, fetch, is_address, parse_address, upload
from acgan_nb.runs import Run
from acgan_nb.storage import find_run, read_settings
from acgan_nb.train import load_pretrained, load_run

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra `hub`")
safetensors = pytest.importorskip("safetensors.numpy", reason="needs the extra `hub`")
errors = pytest.importorskip("huggingface_hub.errors")
RUN = load_pretrained("digits")
PAGE = "https://huggingface.co/user/digits"


class FolderHub:
    "What is used of `huggingface_hub`, on a folder."

    def __init__(self, root):
        self.root, self.made, self.commits, self.revisions = root, {}, [], []

    def create_repo(self, name, private=None, exist_ok=False):
        assert exist_ok
        self.made.setdefault(name, bool(private))
        return f"https://huggingface.co/{name}"

    def repo_info(self, name):
        return SimpleNamespace(private=self.made[name])

    def upload_folder(self, repo_id, folder_path, commit_message, delete_patterns):
        self.commits.append(commit_message)
        for pattern in delete_patterns:
            for path in (self.root / repo_id).glob(pattern):
                path.unlink()
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def snapshot_download(self, name, revision=None, local_dir=None, allow_patterns=None):
        local_dir.mkdir(parents=True, exist_ok=True)
        self.revisions.append(revision)
        for pattern in allow_patterns:
            for path in (self.root / name).glob(pattern):
                shutil.copy(path, local_dir)


@pytest.fixture
def there(tmp_path, monkeypatch):
    "The other side; what is fetched from it comes into a cache of its own."
    found = FolderHub(tmp_path / "hub")
    for name in ("create_repo", "repo_info", "upload_folder"):  # it has no options that the library lacks
        ours, theirs = (inspect.signature(getattr(c, name)).parameters for c in (FolderHub, huggingface_hub.HfApi))
        assert ours.keys() - {"name"} <= theirs.keys()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: found)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot_download)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "What `push_to_hub` uploads."
    path = tmp_path_factory.mktemp("folder")
    write_hub_folder(RUN, path, "user/digits", "apache-2.0")
    return path


@pytest.fixture
def pushed(there, folder):
    "Its folder on the other side."
    upload(folder, "user/digits")
    return there.root / "user" / "digits"


def test_there_and_back_the_pixels_are_the_same(there):
    assert RUN.push_to_hub("user/digits", private=True) == PAGE
    assert (there.made, there.commits) == ({"user/digits": True}, ["user/digits, step 3000"])
    remote = there.root / "user" / "digits"
    assert {p.name for p in remote.iterdir()} == {*FILES, "README.md", "samples.png"}
    (remote / "model.pkl").write_text("never")
    again = load_run("hf://user/digits")
    assert np.array_equal(again.sample(range(10), seed=5), RUN.sample(range(10), seed=5))
    assert (again.step, again.config, again.history) == (3000, RUN.config, RUN.history)
    assert {p.name for p in again.outdir.iterdir()} == {*FILES}  # nothing else is fetched
    assert find_run("hf://user/digits") == again.outdir and again.discriminator is None


def test_the_card_says_what_it_is_and_what_it_is_not(folder):
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(head)
    assert (about["license"], about["library_name"]) == ("apache-2.0", "keras")
    assert about["pipeline_tag"] == "unconditional-image-generation" and "acgan" in about["tags"]
    report = json.loads((RUN.outdir / "report.json").read_text())
    for part in (
        f"| GAN-test | higher | {report['generated']['gan_test']:.1%} |",
        f"{report['generated']['images']:,} samples",
        f"judge digits ({report['judge']['hash']})",
        f"mean of {report['generated']['gan_train_seeds']} classifiers",
        RUN.config["fingerprint"],
        "| `steps` | 3000 |",
        'load_run("hf://user/digits")',
        "judges of different names or hashes are not comparable",
        "](samples.png)",
    ):
        assert part in text, part


def test_a_run_without_report_and_with_names_as_they_come(tmp_path):
    "No folder of this machine is told; class names are no markup; nothing was measured."
    names = ["<b>", "a|b", *"cdefghij"]
    config = {**RUN.config, "data": "/secret/place/cats", "class_names": names, "init": "/secret/run"}
    run = Run(RUN.generator, None, RUN.history, config, saved_step=3000)
    write_hub_folder(run, tmp_path, "user/cats")
    assert not [p for p in tmp_path.iterdir() if b"secret" in p.read_bytes()]
    card = (tmp_path / "README.md").read_text()
    assert "Its 10 classes: &lt;b&gt;, a\\|b, c" in card and "None yet" in card
    assert "`cats`" in card and read_settings(tmp_path)["class_names"] == names


def damaged(path, how):
    "The pushed weights, changed."
    arrays = safetensors.load_file(path / FILES[1])
    first = sorted(arrays)[0]
    arrays |= {first: arrays[first].astype("float64")} if how == "type" else {}
    arrays |= {first: arrays[first][:-1].copy()} if how == "shape" else {}
    arrays |= {"more": arrays[first]} if how == "names" else {}
    safetensors.save_file(arrays, path / FILES[1], {"step": "x" if how == "step" else "7"})


DAMAGED = {
    "type": "it holds float64, not float32",
    "shape": "holds other weights",
    "names": "its names are those of another network",
    "step": "its step must be a whole number",
}


@pytest.mark.parametrize("how", DAMAGED)
def test_other_weights_are_refused(folder, tmp_path, how):
    shutil.copy(folder / FILES[1], tmp_path)
    damaged(tmp_path, how)
    with pytest.raises(ValueError, match=DAMAGED[how]) as error:
        load_tensors(tmp_path / FILES[1], RUN.generator)
    assert FILES[1] in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "content", "line"), [
    (FILES[1], b"\x80\x04pickle", "cannot read weights .*generator.safetensors"),
    ("config.json", b"{", "config.json that is no run's"),
    ("config.json", json.dumps({**RUN.config, "new": 1}).encode(), "config.json is damaged: 'new' is no setting"),
    ("config.json", None, "no run in .*: it has no config.json"),
    (FILES[1], None, "hf://user/digits holds no run of this package: it has no generator.safetensors"),
])  # fmt: skip
def test_other_files_are_refused(pushed, name, content, line):
    (pushed / name).unlink() if content is None else (pushed / name).write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=line) as error:
        load_run("hf://user/digits")
    assert "\n" not in str(error.value)


def acgan(*args):
    return CliRunner().invoke(main, list(map(str, args)))


def test_the_command_line_takes_an_address_where_a_run_is_named(pushed, there, tmp_path):
    done = acgan("sample", "hf://user/digits", "--label", 7, "--count", 3)
    assert (done.output, done.exit_code) == ("digits.png\n", 0)
    drawn = np.asarray(Image.open(tmp_path / "digits.png"))
    assert np.array_equal(drawn, image_grid(RUN.sample(7, count=3), 3)[..., 0])
    compared = acgan("compare", "hf://user/digits")
    assert compared.output.split()[2] == "digits"  # the title of its column
    assert "GAN-test" in compared.output and compared.exit_code == 0
    assert acgan("push", "digits", "user/mine", "--public").output == PAGE.replace("digits", "mine\n")
    options = "--private", "--license", "mit"
    assert acgan("push", "digits", "user/hidden", *options).exit_code == 0 and there.made["user/hidden"] is True
    assert "license: mit\n" in (there.root / "user" / "hidden" / "README.md").read_text()
    wrong = acgan("sample", "hf://digits")
    assert (wrong.exit_code, wrong.output.count("\n")) == (2, 1) and "hf://USER/NAME" in wrong.output


def test_where_an_address_may_stand_in_python(pushed):
    from acgan_nb.plan import check_fit

    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), "uint8")
    data = Dataset(images, np.arange(20) % 10, list("0123456789"))
    plan = check_fit(data, init="hf://user/digits", batch_size=10, steps=1)
    assert plan.config["init"] == "hf://user/digits" and plan.start.step == 3000
    assert read_settings("hf://user/digits") == RUN.config


def refusal(name, **about):
    "An exception of this name, as the library raises it."
    return type(name, (Exception,), about)("several\nlines")


FAILURES = {
    "RepositoryNotFoundError": ({}, "there is no such repository"),
    "SomethingElse": ({}, "several"),
    "OfflineModeIsEnabled": ({}, "no connection to the Hub"),
    "HfHubHTTPError": (dict(response=SimpleNamespace(status_code=403)), "no permission: hf auth login"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_one_line(there, name, monkeypatch):
    about, line = FAILURES[name]
    error = errors.OfflineModeIsEnabled("offline") if name == "OfflineModeIsEnabled" else refusal(name, **about)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(there, "create_repo", fail)
    for call in (lambda: fetch("hf://user/other"), lambda: upload(".", "user/other")):
        with pytest.raises(OSError, match=f"^hf://user/other: {line}[^\\n]*$"):
            call()


@pytest.mark.parametrize("name", ["huggingface_hub", "safetensors.numpy"])
def test_without_the_extra(there, name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    line = f"needs {name.partition('.')[0]}, which is not installed: pip install 'acgan_nb\\[hub\\]'$"
    with pytest.raises(ImportError, match=line):
        RUN.push_to_hub("user/digits")
    assert not there.made


def test_a_revision_is_asked_for(there, pushed):
    fetch("hf://user/digits@v1")
    fetch("hf://user/digits")
    assert there.revisions == ["v1", None]


def test_private_is_not_ignored_for_a_repository_that_exists(there, folder):
    upload(folder, "user/digits")
    for private, line in ((True, "it exists and is public"), (False, None)):
        if line is None:
            upload(folder, "user/digits", private)
            continue
        with pytest.raises(OSError, match=f"^hf://user/digits: {line}$"):
            upload(folder, "user/digits", private)
        assert len(there.commits) == 1  # nothing came there


def test_no_report_of_earlier_weights_stays_on_the_hub(there, folder, tmp_path):
    upload(folder, "user/digits")
    later = shutil.copytree(folder, tmp_path / "later")
    (later / "report.json").unlink()
    upload(later, "user/digits")
    assert not (fetch("hf://user/digits") / "report.json").exists()


def test_an_evaluation_of_a_fetched_run_is_kept(pushed):
    here = fetch("hf://user/digits")
    (here / "report.json").write_text("mine")
    (pushed / "report.json").write_text("theirs")
    assert (fetch("hf://user/digits") / "report.json").read_text() == "theirs"
    for name in ("report.json", "report.html"):
        (here / name).write_text("mine")
    assert (fetch("hf://user/digits") / "report.json").read_text() == "mine"
    weights = pushed / "generator.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")  # others: it is of the earlier ones
    assert (fetch("hf://user/digits") / "report.json").read_text() == "theirs"
    assert not (here / "report.html").exists()
    (pushed / "report.json").unlink()
    weights.write_bytes(weights.read_bytes() + b" ")  # pushed without a report
    assert not (fetch("hf://user/digits") / "report.json").exists()
    (here / "report.html").write_text("mine")
    (here / weights.name).unlink()  # the user's tidying up: all is fetched again
    assert (fetch("hf://user/digits") / weights.name).read_bytes() == weights.read_bytes()
    assert not (here / "report.html").exists()


def test_addresses_as_paths_of_windows():
    path = PureWindowsPath("hf://user/digits@v1")
    assert is_address(path) and parse_address(path) == ("user/digits", "v1")


def test_the_card_samples_as_the_run_that_was_published(tmp_path):
    cut = load_pretrained("digits", truncation=0.5)
    write_hub_folder(cut, tmp_path, "user/digits")
    text = (tmp_path / "README.md").read_text()
    assert "--label 0 --truncation 0.5\n" in text and 'load_run("hf://user/digits", truncation=0.5)' in text


@pytest.mark.parametrize("data", ["arrays", "stream", "/images/of/cats"])
def test_the_card_of_data_without_a_name_tells_what_can_be_done_again(data, tmp_path):
    run = Run(RUN.generator, None, RUN.history, {**RUN.config, "data": data}, saved_step=3000)
    write_hub_folder(run, tmp_path, "user/mine")
    text = (tmp_path / "README.md").read_text()
    assert '- again: `fit(data, config="hf://user/mine")` with the same data' in text
    assert "acgan train --config" not in text


@pytest.mark.parametrize("name", ["user/digits-", "user/digits.", "user-/digits", "user/-digits", "user/a--b", "digits"])
def test_names_that_the_hub_refuses(name):
    "As `huggingface_hub` itself says, but before anything is written."
    if "/" in name:
        with pytest.raises(errors.HFValidationError):
            huggingface_hub.utils.validate_repo_id(name)
    with pytest.raises(ValueError, match="USER/NAME"):
        check_repository(name)
    for good in ("u/d", "user/digits_8x8.v1"):
        huggingface_hub.utils.validate_repo_id(good)
        check_repository(good)
