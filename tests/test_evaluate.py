"Judges keep their promises, real images win, broken generators lose, outside tools are fed."

import json
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tiny  # noqa: F401  # an architecture of the package then
from click.testing import CliRunner
from PIL import Image

from acgan_nb import evaluation, fidelity, judges, lite0, metrics, plots, runs, tables
from acgan_nb.cli import main
from acgan_nb.data import Dataset, load
from acgan_nb.sampling import class_probabilities
from acgan_nb.metrics import control
from acgan_nb.monitor import CollapseWarning, real_statistics
from acgan_nb.tables import compare, summary
from acgan_nb.report import save_report
from acgan_nb.directory import RunDirectory, read_history, step_of_sheet
from acgan_nb.runs import Run, export_run
from acgan_nb.storage import load_variables, results_folder, save_variables
from acgan_nb.train import fit, load_run

DIGITS, TEST = load("digits"), load("digits", "test")
pytestmark = pytest.mark.usefixtures("small_networks")
GOALS = {"digits": 0.98, "mnist": 0.992, "cifar10_16": 0.73, "cifar10_32": 0.87, "cifar10_64": 0.88}


@pytest.mark.parametrize("name", GOALS)
def test_shipped_judge_reaches_its_goal(name):
    assert judges.load_judge(name).about["accuracy_on_real_test"] >= GOALS[name]


@pytest.mark.parametrize("name", judges.RECIPES)
def test_shipped_judge_is_that_of_its_record(name):
    judge = judges.load_judge(name)  # checks the hash
    about = judge.about
    assert about["test_images"] == (359 if name == "digits" else 10_000)
    assert about["recipe"] == json.loads(json.dumps(vars(judges.RECIPES[name])))
    if start := judges.RECIPES[name].start:
        assert about["start_hash"] == judges.load_judge(start).hash
    if name == "digits":
        assert judge.accuracy(TEST.images, TEST.labels) == about["accuracy_on_real_test"]


def test_shipped_judges_are_small():
    assert sum(path.stat().st_size for path in judges.FROZEN.iterdir()) < 8e6


def test_judge_of_own_images_is_kept(tmp_path):
    data = Dataset(DIGITS.images[:400], DIGITS.labels[:400] // 2, "abcde")
    first = judges.judge_for(data, tmp_path)
    assert first.accuracy(data.images, data.labels) > 0.95
    assert judges.judge_for(data, tmp_path).hash == first.hash
    other = Dataset(data.images[:300], data.labels[:300], "abcde")
    short = replace(judges.recipe_for(other), steps=9)
    assert judges.judge_for(other, tmp_path, short).hash != first.hash  # other data, other judge


def test_judge_of_images_some_without_label_is_kept(tmp_path):
    labels = np.where(np.arange(400) % 3, DIGITS.labels[:400] // 2, -1)
    data = Dataset(DIGITS.images[:400], labels, "abcde")
    made = judges.judge_for(data, tmp_path, replace(judges.recipe_for(data), steps=9)).hash
    written = (tmp_path / "judge.weights").stat().st_mtime_ns
    assert judges.judge_for(data, tmp_path).hash == made
    assert (tmp_path / "judge.weights").stat().st_mtime_ns == written


def test_accuracy_takes_labels_as_data_sets_do():
    judge, right = judges.load_judge("digits"), judges.load_judge("digits")(TEST.images)
    assert judge.accuracy(TEST.images, TEST.labels[:, None]) == np.mean(right == TEST.labels)
    some = np.where(np.arange(len(TEST)) % 2, TEST.labels, -1)
    assert judge.accuracy(TEST.images, some) == np.mean((right == TEST.labels)[1::2])
    with pytest.raises(ValueError, match=r"label 10 is out of range: 0\.\.9"):
        judge.accuracy(TEST.images, TEST.labels + 1)


def test_judge_takes_images_of_other_sizes_and_greyscale():
    judge = judges.load_judge("digits")
    large = load("digits", "test", size=16)
    assert judge.accuracy(large.images, large.labels) > 0.9  # enlarging and shrinking blurs
    colour = judges.Judge("colour", judges.judge_network(8, 3, 10))
    grey = colour.probabilities(TEST.images[:5])
    np.testing.assert_allclose(grey, colour.probabilities(TEST.images[:5].repeat(3, -1)))


def test_mirroring_judge_does_not_care_for_left_and_right():
    judge = judges.Judge("mirror", judges.judge_network(8, 1, 10), mirror=True)
    p = judge.probabilities(TEST.images[:20])
    np.testing.assert_allclose(p, judge.probabilities(TEST.images[:20, :, ::-1]), atol=1e-6)
    features, again = judge.features_and_probabilities(TEST.images[:20])  # in one pass
    assert (again == p).all() and (features == judge.features(TEST.images[:20])).all()


@pytest.mark.parametrize("broken", ["cut", "exchanged", "no record"])
def test_damaged_judge_is_refused(tmp_path, broken):
    for suffix in ("json", "weights"):
        source = judges.FROZEN / f"digits.{suffix}"
        (tmp_path / f"digits.{suffix}").write_bytes(source.read_bytes())
    weights = tmp_path / "digits.weights"
    if broken == "cut":
        weights.write_bytes(weights.read_bytes()[:-500])
    elif broken == "exchanged":
        network = judges.judge_network(8, 1, 10, (32, 64), seed=1)
        judges.save_variables(weights, network.weights, "float16")
    else:
        (tmp_path / "digits.json").unlink()
    with pytest.raises(ValueError, match="digits") as caught:
        judges.load_judge("digits", tmp_path)
    assert "\n" not in str(caught.value)


def test_inception_without_a_network(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on storage: unreachable")

    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    with pytest.raises(ConnectionError, match="Keras' InceptionV3 weights: URL fetch failure"):
        judges.load_judge("inception")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    outdir = tmp_path_factory.mktemp("evaluated") / "run"
    return fit("digits", steps=20, outdir=outdir, verbose=False)


class Generator(Run):
    "A run whose generator is one of the broken ones."

    def __init__(self, name, run):
        self.name, self.__dict__ = name, {**vars(run), "name": name}

    def sample(self, labels, count=None, seed=0):
        return control(self.name, DIGITS, labels, seed)


LADDER = ["real", "gaussian", "collapsed", "noise"]


@pytest.fixture(scope="module")
def reports(run):
    options = dict(train=DIGITS, test=TEST, samples=1000, gan_train_seeds=0)
    return {n: evaluation.evaluate(Generator(n, run), **options) for n in ("real", "collapsed")}


@pytest.fixture(scope="module")
def measures():
    "Every measure of each broken generator."
    judge, labels = judges.load_judge("digits"), np.arange(1000) % 10
    samples = {name: control(name, DIGITS, labels) for name in [*LADDER, "swapped"]}
    return {name: evaluation.compute_measures(x, labels, TEST, judge) for name, x in samples.items()}


@pytest.fixture(scope="module")
def gan_train(run):
    "GAN-train of each broken generator, one seed."
    draws = {n: evaluation.sampler(Generator(n, run), DIGITS, 1400) for n in [*LADDER, "swapped"]}
    short = dict(seeds=1, steps=100)
    return {n: evaluation.gan_train(d, TEST, **short)["gan_train"] for n, d in draws.items()}


def test_ladder_of_broken_generators(measures, gan_train):
    assert sorted(LADDER, key=lambda name: measures[name]["frechet_distance"]) == LADDER
    assert sorted(LADDER, key=lambda name: -gan_train[name]) == LADDER
    assert measures["collapsed"]["recall"] == 0 and measures["real"]["recall"] > 0.7
    assert measures["swapped"]["gan_test"] < 0.02 and gan_train["swapped"] < 0.1
    assert measures["swapped"]["frechet_distance"] < measures["gaussian"]["frechet_distance"]
    assert min(measures["collapsed"]["ms_ssim_by_class"]) > 0.999
    assert measures["noise"]["ms_ssim"] < 0.2


def test_shares_of_broken_generators(reports, run):
    assert reports["collapsed"]["shares"]["classes_below_ms_ssim_limit"] == 0
    assert reports["real"]["shares"]["classes_below_ms_ssim_limit"] >= 0.8
    assert reports["real"]["overfitting"]["copies"] == 1  # it hands out training images
    assert evaluation.overfitting(Generator("gaussian", run), DIGITS, TEST)["copies"] == 0
    better = reports["real"]["shares"]["classes_better_at_full_size"]
    assert better[0] >= 0.8  # at 2 pixels all look alike: at most a class or two are guessed right


def test_real_column_does_not_depend_on_the_generator(reports):
    columns = [report["real"] for report in reports.values()]
    assert all(column == columns[0] for column in columns)
    assert columns[0]["gan_test"] > 0.98 and columns[0]["recall"] > 0.7


def test_report_names_its_circumstances(reports, run):
    report = reports["real"]
    json.dumps(report)
    assert report["run"]["fingerprint"] == DIGITS.fingerprint
    assert report["settings"]["test_fingerprint"] == TEST.fingerprint
    assert report["judge"]["hash"] == judges.load_judge("digits").hash
    assert report["settings"]["ms_ssim"]["windows"] == [8]
    assert report["run"]["step"] == 20 and len(report["run"]["generator_hash"]) == 12
    assert report["generated"]["images"] == 1000


def test_features_of_another_judge(run):
    "Class names come from the judge, distances from the other network, and the report says so."
    network = judges.judge_network(8, 1, 1000)
    other = judges.Judge("stranger", network, about={"class_names": []})
    options = dict(train=DIGITS, test=TEST, samples=300, gan_train_seeds=0)
    report = evaluation.evaluate(Generator("real", run), feature_judge=other, **options)
    assert report["features"] == {"name": "stranger", "hash": other.hash}
    assert report["judge"]["name"] == "digits" and report["generated"]["gan_test"] > 0.98
    assert "Inception score by stranger" in summary(report)
    assert "Fréchet distance, digits" not in summary(report)


def test_classifiers_of_samples_and_of_few_real_images_are_trained_alike(run, monkeypatch):
    "However many samples there are; else GAN-train compares lengths of training."
    few = replace(DIGITS, images=DIGITS.images[:300], labels=DIGITS.labels[:300], name="own")
    trained = []

    def no_training(datas, test, recipe, seeds):
        trained.extend((len(data), recipe.steps) for data in datas)
        return [test.labels >= 0 for _ in datas]

    monkeypatch.setattr(evaluation, "_correct", no_training)
    options = dict(judge=judges.load_judge("digits"), samples=100, pairs=3, gan_train_seeds=1)
    evaluation.evaluate(Generator("real", run), train=few, test=TEST, **options)
    steps = judges.recipe_for(few).steps
    assert steps < 400 and trained == [(20_000, steps), (300, steps)]


@pytest.mark.parametrize(("side", "groups"), [(16, [3, 2]), (28, [1] * 5)])
def test_many_classifiers_do_not_fill_the_memory(side, groups, monkeypatch):
    "Small ones are trained three at a time, large ones one by one."
    trained = []

    def no_training(datas, test, recipe, seeds):
        trained.append(len(datas))
        return [test.labels >= 0 for _ in datas]

    monkeypatch.setattr(evaluation, "_correct", no_training)
    large = load("digits", "test", size=side)
    assert evaluation.gan_train(lambda seed: large, large, seeds=5)["gan_train"] == 1
    assert trained == groups


def test_real_images_are_measured_once(run, tmp_path, monkeypatch):
    "For all reports with the same judges and options; the numbers are those of measuring again."
    measured, measure = [], evaluation._measure_column
    there = replace(run, outdir=tmp_path)
    options = dict(samples=100, pairs=3, gan_train_seeds=2, gan_train_samples=200, gan_train_steps=2)
    first = evaluation.evaluate(there, **options)
    assert "real_from" not in first
    (tmp_path / "report_truncation_1.5.json").write_text(json.dumps(first))
    monkeypatch.setattr(evaluation, "_measure_column", lambda *a: measured.append(len(a[0])) or measure(*a))
    again = evaluation.evaluate(there, **options)
    assert len(measured) == 1
    assert again.pop("real_from") == f"{tmp_path.name}/report_truncation_1.5.json" and again == first
    for cache in ("_CORRECT", "_LAST"):  # so that everything is computed again
        monkeypatch.setattr(evaluation, cache, {})
    assert evaluation.evaluate(there, fresh=True, **options) == first and len(measured) == 3
    other = evaluation.evaluate(there, **options | dict(gan_train_steps=1))
    assert len(measured) == 5 and other["real"] != first["real"]


def test_evaluation_is_repeatable(reports, run):
    options = dict(train=DIGITS, test=TEST, samples=1000, gan_train_seeds=0)
    again = evaluation.evaluate(Generator("real", run), **options)
    for key, value in again["generated"].items():
        assert reports["real"]["generated"][key] == value, key


def alarm(name):
    "Two evaluations of a broken generator by the callback; whether it warned."
    from acgan_nb.monitor import Monitor

    real = real_statistics(DIGITS, judges.load_judge("digits"))
    watch = Monitor(real, every=1, steps=9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in (1, 2):
            _, similarity = real.compare(control(name, DIGITS, real.labels, seed=step))
            watch.warn_of_collapse(step, similarity)
    lines = [str(w.message) for w in caught if w.category is CollapseWarning]
    assert all("\n" not in line for line in lines)
    return lines


def test_alarm_fires_on_collapse_only():
    assert alarm("real") == [] and alarm("noise") == []
    [line] = alarm("collapsed")
    assert line.startswith("step 2: collapse of class 0, 1, 2, 3, 4, 5, 6, 7, 8, 9")


def test_best_generator_is_kept_over_a_pause(tmp_path):
    "Paused at step 16 of 32 and picked up: the same evaluations and the same best generator."
    options = dict(arch="tiny", evaluate_every=8, verbose=False)
    with pytest.warns(CollapseWarning):
        whole = fit("digits", steps=32, outdir=tmp_path / "whole", **options)
    with pytest.warns(CollapseWarning):
        fit("digits", steps=16, outdir=tmp_path / "parts", **options)
    parts = fit("digits", steps=32, outdir=tmp_path / "parts", **options)
    for key in ("frechet_distance", "judge_accuracy", "ms_ssim_max"):
        np.testing.assert_array_equal(parts.history[key], whole.history[key], err_msg=key)
    step = int(np.nanargmin(parts.history["frechet_distance"]))
    assert parts.history["step"][step] % 8 == 0
    best = load_run(tmp_path / "parts", best=True)
    found = real_statistics(DIGITS, judges.load_judge("digits")).compare
    labels = np.repeat(np.arange(10), 100)
    assert found(best.sample(labels))[0]["frechet_distance"] == pytest.approx(
        parts.history["frechet_distance"][step], rel=1e-3
    )


def test_fidelity_gets_png_folders(monkeypatch):
    seen = {}

    def calculate_metrics(input1, input2, **options):
        for name, folder in (("samples", input1), ("real", input2)):
            paths = sorted(Path(folder).iterdir())
            seen[name] = np.stack([np.asarray(Image.open(p)) for p in paths])
        seen["options"] = options
        return {"frechet_inception_distance": np.float64(12.5)}

    stub = SimpleNamespace(calculate_metrics=calculate_metrics)
    monkeypatch.setitem(sys.modules, "torch_fidelity", stub)
    monkeypatch.setattr(fidelity.metadata, "version", lambda name: "0.4")
    gpu = SimpleNamespace(is_available=lambda: False)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=gpu))
    found = fidelity.fidelity_scores(DIGITS.images[:12], TEST.images[:9])
    assert found == {"torch_fidelity": "0.4", "frechet_inception_distance": 12.5}
    assert (seen["samples"] == DIGITS.images[:12].repeat(3, -1)).all()
    assert (seen["real"] == TEST.images[:9].repeat(3, -1)).all()
    options = dict(isc=True, fid=True, kid=True, kid_subset_size=9, verbose=False, cuda=False)
    assert seen["options"] == options


def test_fidelity_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ImportError, match=r"fidelity needs torch_fidelity, .*: pip install 'acgan_nb\[fidelity\]'$"):
        fidelity.fidelity_scores(DIGITS.images[:2], TEST.images[:2])


def test_two_stages_choose_the_better_generator(run):
    runs = {name: Generator(name, run) for name in ("noise", "real")}
    judge = judges.load_judge("digits")
    found = evaluation.two_stage_inception_score(runs, judge, choose=(300, 10), final=(150, 5))
    assert found["chosen"] == "real" and found["choose"]["scores"]["noise"][0] < 5
    chosen, final = found["choose"]["scores"]["real"], found["final"]["score"]
    assert final != chosen and final[0] == pytest.approx(chosen[0], rel=0.2)


def test_real_images_are_enough_of_every_class():
    labels = np.repeat([0, 1, 2], [300, 30, 10])
    data = Dataset(DIGITS.images[:340], labels, "abc")
    for seed in range(20):
        plain = evaluation.real_sampler(data, 60)(seed)
        filled = evaluation.real_sampler(data, 60, least=8)(seed)
        assert filled.class_counts.min() >= 8 and len(filled) >= 60
        assert (filled.class_counts == np.maximum(plain.class_counts, 8)).all()
        enough = evaluation.real_sampler(data, 60, least=plain.class_counts.min())(seed)
        assert enough.fingerprint == plain.fingerprint  # as ever, where nothing is missing


def test_fewer_images_than_classes():
    images, judge = DIGITS.images[DIGITS.labels == 7][:5], judges.load_judge("digits")
    sevens = metrics.resolution_accuracy(images, [7] * 5, judge, [8])
    assert sevens.tolist() == [judge.accuracy(images, [7] * 5)]


def test_the_best_generator_comes_with_its_step(tmp_path):
    options = dict(log_every=2, evaluate_every=2, outdir=tmp_path, verbose=False)
    with pytest.warns(CollapseWarning):
        run = fit("digits", steps=6, **options)
    best = int(np.argmin(run.history["frechet_distance"]))
    found = load_run(tmp_path, best=True)
    assert found.history["step"] == run.history["step"][: best + 1]
    more = load_variables(tmp_path / "best.weights", run.generator.weights)
    assert more["frechet_distance"] == pytest.approx(run.history["frechet_distance"][best])
    save_variables(tmp_path / "best.weights", found.generator.weights, step=np.array(4))
    found = load_run(tmp_path, best=True)
    assert found.history["step"] == [2, 4] and evaluation._describe_run(found)["step"] == 4
    assert load_run(tmp_path).history["step"] == [2, 4, 6] and load_run(tmp_path).step == 6
    save_variables(tmp_path / "best.weights", found.generator.weights)  # of an earlier version
    assert load_run(tmp_path, best=True).history["step"] == [2, 4, 6]


def test_the_step_of_a_run_is_that_of_its_weights(tmp_path):
    "The history is ahead of the last checkpoint, or behind it, when a run is interrupted."
    def interrupt(batch, logs):
        if int(callback.model.g_optimizer.iterations) == 7:
            raise RuntimeError

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt)
    for log_every, rows in ((3, [3]), (2, [2, 4])):
        outdir = tmp_path / str(log_every)
        options = dict(log_every=log_every, save_every=5, outdir=outdir, verbose=False)
        with pytest.raises(RuntimeError):
            fit("digits", steps=9, callbacks=callback, **options)
        assert read_history(outdir / "history.csv")["step"][-1] == 6
        run = load_run(outdir)
        assert run.step == evaluation._describe_run(run)["step"] == 5
        assert run.history["step"] == rows


def with_hashes(report, key, hashes, folder):
    "A directory for each hash of a report's judge of classes or features."
    for i, value in enumerate(hashes):
        (folder / str(i)).mkdir()
        changed = report | {key: report[key] | {"hash": value}}
        (folder / str(i) / "report.json").write_text(json.dumps(changed))
    return [folder / str(i) for i in range(len(hashes))]


def test_numbers_of_other_judges_have_their_own_row(reports, tmp_path):
    one, two = with_hashes(reports["real"], "judge", ("aaaa", "bbbb"), tmp_path)
    lines = compare([one, two]).splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith("GAN-test")] == [
        "GAN-test by digits",
        "GAN-test by digits bbbb",
    ]
    assert lines[0].count("real") == 2  # each judge saw the real images
    counts = [line for line in lines if line.startswith("images ")]
    assert len(counts) == 1 and counts[0].count("1,000") == 4
    assert "GAN-test " in compare([one])


def test_a_run_directory_has_its_name_as_title(reports, run, tmp_path, monkeypatch):
    "Also if it is given as `.` or `..`, or with a slash at its end."
    (inside := tmp_path / "my_run" / "samples").mkdir(parents=True)
    (tmp_path / "my_run" / "report.json").write_text(json.dumps(reports["real"]))
    places = {"my_run/": tmp_path, "..": inside, "../../my_run/.": inside, ".": inside.parent}
    for folder, here in places.items():
        monkeypatch.chdir(here)
        assert compare([folder]).splitlines()[0].split()[2:4] == ["my_run", "real"], folder
        said = CliRunner().invoke(main, ["compare", folder])
        assert said.exit_code == 0 and said.output.split()[2] == "my_run"
    assert evaluation._describe_run(replace(run, outdir=Path(".")))["name"] == "my_run"


WAYS = {  # best, truncation, confidence
    "": (False, None, None),
    "_best": (True, None, None),
    "_truncation_1.5_confidence_0.5": (False, 1.5, 0.5),
    "_best_confidence_0.5": (True, None, 0.5),
}


@pytest.mark.parametrize("suffix", WAYS)
def test_each_way_to_sample_has_its_report(suffix, reports, run, tmp_path, monkeypatch):
    monkeypatch.setattr("acgan_nb.report.html_page", lambda *_: "page")
    best, truncation, confidence = WAYS[suffix]
    one = replace(run, outdir=tmp_path, best=best, truncation=truncation, confidence=confidence)
    page = save_report(one, reports["real"], DIGITS)
    assert (page.name, page.read_text()) == (f"report{suffix}.html", "page")
    assert json.loads(page.with_suffix(".json").read_text()) == reports["real"]


WRONG = {  # options of an evaluation, what is said about them
    "unknown": (dict(sampels=3), "evaluate has no option 'sampels'; did you mean 'samples'"),
    "fidelity": (dict(fidelity="maybe"), "fidelity must be one of True, False, got 'maybe'"),
    "judge": (dict(judge="digits"), "judge must be a Judge such as .* got 'digits'"),
    "features": (dict(feature_judge="inception"), "feature_judge must be a Judge .* got 'inception'"),
    "old name": (dict(eye=None), "evaluate has no option 'eye'"),
    "half": (dict(gan_train_steps=1.5), "gan_train_steps must be a whole number"),
} | {
    row.name: ({row.name: row.low - 1}, f"{row.name} must be a whole number at least {row.low}")
    for row in evaluation.EVALUATION.values()
    if row.kind is int
}


@pytest.mark.parametrize("options, line", WRONG.values(), ids=WRONG)
def test_options_of_an_evaluation_are_checked_first(options, line):
    with pytest.raises(ValueError, match=line) as caught:
        evaluation.evaluate(None, **options)  # before it looks at the run
    assert "\n" not in str(caught.value)


def test_committed_reports_are_still_read():
    paths = sorted(results_folder().glob("*/report*.json"))
    assert len(paths) >= 5
    for path in paths:
        report = json.loads(path.read_text(encoding="utf-8"))
        rows = summary(report).splitlines()
        assert len(rows) >= 13 and f"{report['generated']['recall']:.3f}" in "".join(rows)
    folders = sorted({path.parent for path in paths if path.name == "report.json"})
    title = compare(folders).splitlines()[0]
    assert all(folder.name in title for folder in folders)


def test_images_too_small_to_be_shrunk():
    column = {"ms_ssim_by_class": [0.1, 0.2], "gan_test_by_class": [1.0, 0.5]}
    column["resolution"] = {"by_class": [[1.0, 0.5]]}  # of the full size alone
    assert evaluation._shares(column, column)["classes_better_at_full_size"].tolist() == []


def test_a_judge_of_other_classes_is_refused(run):
    with pytest.raises(ValueError, match="'cifar10_16' was not trained on the classes of 'digits'"):
        evaluation.evaluate(run, train=DIGITS, test=TEST, judge=judges.load_judge("cifar10_16"))


def test_a_grey_judge_does_not_fit_colours(monkeypatch):
    assert judges.load_judge("digits").fits(DIGITS)
    colours = load("digits", channels=3)
    assert not judges.load_judge("digits").fits(colours)
    monkeypatch.setattr(judges, "train_judge", lambda *_, **__: judges.load_judge("cifar10_16"))
    assert judges.judge_for(colours).name == "cifar10_16"  # that is, one is trained


def test_images_without_a_label_are_not_read_wrong():
    labels = np.where(np.arange(len(TEST)) % 2, TEST.labels, -1)
    with pytest.raises(ValueError, match="some labels are -1"):
        metrics.resolution_accuracy(TEST.images, labels, judges.load_judge("digits"), [8])


def test_error_of_a_class_similarity_is_what_it_is():
    "Of few images that share pairs: compared with the spread of as many fresh ones."
    from acgan_nb.monitor import _error

    images, rng = DIGITS.images[DIGITS.labels == 3], np.random.default_rng(0)
    fresh = []
    for seed in range(200):
        part = images[rng.choice(len(images), 15, replace=False)]
        fresh.append(metrics.class_ms_ssim(part, np.zeros(15, int), 100, seed)[0])
    guesses = [_error(images, 15, 100, np.random.default_rng(s)) for s in range(12)]
    truth = np.std(fresh, ddof=1) / np.sqrt(1 - 15 / len(images))  # of a class without end
    assert np.mean(guesses) == pytest.approx(truth, rel=0.2)
    (i,), (j,) = metrics.within_class_pairs(np.zeros(len(images), int), 100, 0)
    naive = metrics.ms_ssim(images[i], images[j]).std() / 10
    assert np.mean(guesses) > 1.5 * naive
    assert np.isfinite(_error(images[:2], 15, 100, rng))


def test_export_of_the_best_generator_is_of_its_step(tmp_path):
    with pytest.warns(CollapseWarning):
        run = fit("digits", steps=9, evaluate_every=3, outdir=tmp_path / "run", verbose=False)
    best = load_run(run.outdir, best=True)
    best.history = {key: values[:2] for key, values in best.history.items()}  # as if of step 6
    best.saved_step = 6
    for step, name in ((9, "report"), (6, "report_best")):
        (run.outdir / f"{name}.json").write_text(json.dumps({"run": {"step": step}}))
        (run.outdir / f"{name}.html").write_text("page")
    (run.outdir / "report_of_mine.json").write_text("no JSON")
    small = load_run(export_run(best, tmp_path / "small"))
    assert small.step == best.step == 6 and small.history["step"] == [3, 6]
    assert sorted(p.name for p in (tmp_path / "small").glob("report*")) == ["report.html", "report.json"]
    whole = load_run(export_run(load_run(run.outdir), tmp_path / "whole"))
    assert whole.step == 9 and (tmp_path / "whole" / "report.json").exists()
    export_run(best, tmp_path / "whole")  # over the copy of the last generator
    assert json.loads((tmp_path / "whole" / "report.json").read_text())["run"]["step"] == 6
    assert [step_of_sheet(p) for p in RunDirectory(tmp_path / "whole").sheets()] == [0]


def test_a_run_in_memory_can_be_kept(tmp_path, monkeypatch):
    run = fit("digits", steps=2, verbose=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    kept = load_run(export_run(run, "~/kept", discriminator=True))
    assert kept.outdir == tmp_path / "kept" and kept.step == 2
    far = kept.sample(range(10)).astype(int) - run.sample(range(10))
    assert np.abs(far).max() <= 1
    with pytest.raises(ValueError, match="no directory to hold its report"):
        save_report(run, {}, DIGITS)


def test_no_judge_is_written_into_the_package(tmp_path, monkeypatch):
    "A shipped generator measured with images whose judge has to be trained."
    seen, judge = [], judges.load_judge("digits")
    monkeypatch.setattr(evaluation, "judge_for", lambda data, folder=None: seen.append(folder) or judge)
    options = dict(train=Dataset(DIGITS.images, DIGITS.labels), test=TEST, samples=20, pairs=1, gan_train_seeds=0)
    for run in (runs.load_pretrained("digits"), fit("digits", steps=1, outdir=tmp_path, verbose=False)):
        evaluation.evaluate(run, **options)
    assert seen == [None, tmp_path]


def test_cosines_are_no_confidence(tmp_path):
    fit("digits", steps=1, class_head="d2d_ce", outdir=tmp_path, verbose=False)
    with pytest.raises(ValueError, match="confidence needs a D that gives probabilities"):
        load_run(tmp_path, confidence=0.5)


def test_losses_below_zero_are_drawn():
    history = {k: [1.0, -2.0] for *_, lines in plots.PANELS for k in lines} | {"step": [1, 2]}
    axes = plots.training_curves(history).axes
    assert axes[0].get_ylim()[0] < -2 and axes[1].get_ylim() == (0, 1.02)


def test_distances_of_other_features_have_their_own_row(reports, tmp_path):
    one, two, three = with_hashes(reports["real"], "features", ("aaaa", "bbbb", "aaaa"), tmp_path)
    lines = compare([one, two, three]).splitlines()
    assert len([line for line in lines if "Fréchet" in line]) == 2
    assert len([line for line in lines if "Fréchet" in line and "bbbb" in line]) == 1
    same = compare([one, three]).splitlines()
    assert len([line for line in same if "Fréchet" in line]) == 1


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    "A run on digits, not trained for long."
    outdir = tmp_path_factory.mktemp("sampled")
    options = dict(arch="tiny", steps=400, batch_size=20, activation_noise=0)
    return fit("digits", outdir=outdir, verbose=False, **options)


def test_samples_of_which_d_is_sure(sampled):
    labels, rows = np.arange(200) % 10, np.arange(200)
    free = sampled.sample(labels, seed=3)
    before = class_probabilities(sampled.discriminator, free)[rows, labels]
    level = float(np.quantile(before, 0.1))
    run = load_run(sampled.outdir, confidence=level)
    sure = run.sample(labels, seed=3)
    after = class_probabilities(sampled.discriminator, sure)[rows, labels]
    assert before.min() < level <= after.min()
    kept = before >= level
    assert (sure[kept] == free[kept]).all()  # of the same latents as ever
    assert (run.sample(labels, seed=3) == sure).all()
    others = sure[~kept].reshape(np.sum(~kept), -1)
    assert len(np.unique(others, axis=0)) == len(others)
    assert evaluation._describe_run(run)["confidence"] == level


def test_a_confidence_that_cannot_be_had(sampled, monkeypatch):
    "After so many draws it says how many are left, and each is the surest of its draws."
    monkeypatch.setattr(runs, "DRAWS", 3)
    run, labels = load_run(sampled.outdir, confidence=1 - 1e-9), np.arange(20) % 10
    with pytest.warns(UserWarning, match="of 20 samples have a confidence below 1 after 3 draws"):
        last = run.sample(labels)
    monkeypatch.setattr(runs, "DRAWS", 1)
    with pytest.warns(UserWarning, match="after 1 draws"):
        first = run.sample(labels)
    sure = [class_probabilities(run.discriminator, x)[np.arange(20), labels] for x in (first, last)]
    assert (sure[1] >= sure[0]).all() and (sure[1] > sure[0]).any()


def test_confidence_is_told_early_what_it_lacks(sampled, tmp_path):
    export_run(sampled, tmp_path / "g")
    with pytest.raises(ValueError, match="holds no discriminator"):
        load_run(tmp_path / "g", confidence=0.5)
    with pytest.raises(ValueError, match="holds no discriminator to export"):
        export_run(load_run(tmp_path / "g"), tmp_path / "never", discriminator=True)
    assert not (tmp_path / "never").exists()
    for wrong in (0, 1, "high"):
        with pytest.raises(ValueError, match="confidence must be a number above 0 and below 1"):
            load_run(sampled.outdir, confidence=wrong)
    export_run(sampled, tmp_path / "both", discriminator=True)
    labels = np.arange(100) % 10
    small, whole = (load_run(f, confidence=0.5) for f in (tmp_path / "both", sampled.outdir))
    far = small.sample(labels).astype(int) - whole.sample(labels)  # in half precision
    assert np.mean(np.abs(far).max(axis=(1, 2, 3)) > 8) < 0.1


def test_accuracy_among_the_1000_classes_of_imagenet():
    names, digits = lite0.imagenet_classes(), judges.load_judge("digits")
    other = judges.Judge("other", judges.judge_network(8, 1, 1000, (8,), seed=1))
    said = other(TEST.images)
    frequent = np.argsort(-np.bincount(said, minlength=1000))[:10]  # ids in ImageNet's own list
    photographs = Dataset(TEST.images, TEST.labels, [names[i] for i in frequent])
    measure = partial(evaluation.compute_measures, TEST.images, TEST.labels, pairs=5)
    found = measure(photographs, digits, other)
    right = np.mean(said == frequent[TEST.labels])
    assert found["imagenet_accuracy"] == right > 0
    row = ["right among 1,000 classes, other", "higher", f"{right:.1%}"]
    assert row in tables.table({"generated": found})
    assert "imagenet_accuracy" not in measure(TEST, digits, other)
    assert "imagenet_accuracy" not in measure(photographs, digits)
