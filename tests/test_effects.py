"""That a setting, an option, a column of a record and a curve of a figure have the effect they name.

Each test is here because a change of one line that takes this effect away was noticed by no other."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tiny  # noqa: F401  # an architecture of the package then
from click.testing import CliRunner
from scipy.stats import ttest_ind

from acgan_nb import augment, cli, cluster, evaluation, judges, metrics, plots, runs, sweeps, tables, trials
from acgan_nb.architectures import architecture_of
from acgan_nb.callbacks import RunSaver
from acgan_nb.classifier import Recipe, _classifiers, train_judge
from acgan_nb.cli import main
from acgan_nb.data import from_pixels, image_grid, load
from acgan_nb.directory import RunDirectory, new_history
from acgan_nb.gan import ACGAN, adam
from acgan_nb.models import ActivationNoise, build_discriminator, build_generator
from acgan_nb.plan import check_fit
from acgan_nb.runs import build_gan, load_pretrained
from acgan_nb.sampling import draw_latents, generate, interpolate, invert
from acgan_nb.storage import results_folder
from acgan_nb.train import fit

DIGITS, TEST = load("digits"), load("digits", "test")
TINY = dict(arch="tiny", batch_size=20, verbose=False)


# --- the game ---


@pytest.mark.parametrize("ema", [0.5, 0.0])
def test_the_average_moves_by_its_decay(ema):
    "Weights and batch statistics, once the warm-up (1 + t) / (10 + t) is above it."
    gan = ACGAN(build_generator("tiny"), build_discriminator("tiny"), ema=ema)
    gan.compile(adam(1e-3), adam(1e-3))
    before = gan.ema_generator.get_weights()
    assert len(before) > len(gan.ema_generator.trainable_weights)
    gan.generator.set_weights([w + 1 for w in before])
    gan.g_optimizer.iterations.assign(100)
    gan.update_ema()
    for old, new in zip(before, gan.ema_generator.get_weights(), strict=True):
        np.testing.assert_allclose(new, old + (1 - ema), rtol=1e-5, atol=1e-6)


SETTINGS = dict(
    learning_rate=1e-3, d_learning_rate=5e-4, beta_1=0.25, clip_norm=2.0, ema=0.5, latent="uniform",
    activation_noise=0.2, noise_schedule="linear", mixed_precision=True,
)  # fmt: skip


def test_settings_reach_the_networks_and_the_optimizers():
    gan = build_gan(check_fit("digits", steps=10, **SETTINGS, **TINY).config)
    for optimizer, rate in ((gan.g_optimizer, 1e-3), (gan.d_optimizer, 5e-4)):
        assert float(optimizer.learning_rate) == pytest.approx(rate)
        assert (optimizer.beta_1, optimizer.global_clipnorm) == (0.25, 2.0)
    assert (gan.ema, gan.latent) == (0.5, "uniform")
    for network in (gan.generator, gan.discriminator):
        assert {x.compute_dtype for x in network.layers if "conv" in x.name} == {"bfloat16"}


def test_noise_is_annealed_in_training():
    gan = build_gan(check_fit("digits", steps=10, **SETTINGS, **TINY).config)
    gan.g_optimizer.iterations.assign(5)
    gan.train_on_batch(DIGITS.images[:20], DIGITS.labels[:20].astype("int32"))
    noise = [float(x.stddev) for x in gan.discriminator.layers if isinstance(x, ActivationNoise)]
    np.testing.assert_allclose(noise, [0.1] * 2)  # half of 0.2, after half of the steps


@pytest.mark.parametrize("name, rate", [("digits", 0.3), ("mnist", 0.5), ("cifar10", 0.5), ("imagenet128", 0.5)])
def test_dropout_is_that_of_the_table(name, rate):
    "The paper's 0.5 (appendix A); it has no weights, so counts of parameters do not show it."
    layers = [x for x in build_discriminator(name).layers if "dropout" in x.name]
    assert [x.rate for x in layers] == [rate] * len(architecture_of(name).discriminator)


def test_kinds_of_augmentation_have_numbers_of_their_own():
    images = from_pixels(DIGITS.images[100:120].repeat(3, axis=-1))
    numbers = np.random.default_rng(0).uniform(size=(20, 7)).astype("float32")
    takes = {}
    for kind in ("color", "translation", "cutout"):
        before, takes[kind] = np.array(augment._augmented(images, numbers, kind)), set()
        for i in range(7):
            other = numbers.copy()
            other[:, i] = 1 - other[:, i]
            if not np.array_equal(before, np.array(augment._augmented(images, other, kind))):
                takes[kind].add(i)
    assert takes == {"color": {0, 1, 2}, "translation": {3, 4}, "cutout": {5, 6}}


# --- samples ---


def test_every_batch_of_samples_has_its_own_classes():
    g, z, labels = build_generator("tiny"), draw_latents(7), np.arange(7)
    np.testing.assert_array_equal(generate(g, z, labels, batch_size=3), generate(g, z, labels))
    assert (generate(g, z, labels) != generate(g, z, labels[[0, 1, 2, 0, 1, 2, 0]])).any()


def test_inversion_keeps_the_best_start_of_each_image():
    own = DIGITS.images[:3]
    found = invert(build_generator("tiny"), own, DIGITS.labels[:3], steps=3, restarts=4)
    errors = ((from_pixels(found.images) - from_pixels(own)) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(found.error, errors, rtol=1e-5)


def test_a_spherical_walk_is_an_arc():
    a, b = np.eye(2)
    np.testing.assert_allclose(interpolate(a, b, 3, spherical=True)[1], (a + b) / np.sqrt(2))
    np.testing.assert_allclose(interpolate(a, b, 3)[1], (a + b) / 2)


def test_walks_of_a_report_are_linear_and_spherical():
    found = evaluation._smoothness(load_pretrained("digits"), 3, 8, seed=0)
    assert found["largest_step_linear"] != found["largest_step_spherical"]


# --- measures ---


def test_inception_score_and_its_deviation_are_over_the_groups():
    p = np.random.default_rng(0).dirichlet(np.full(4, 0.3), 60)
    parts = np.array_split(np.random.default_rng(0).permutation(60), 3)
    scores = [np.exp(np.mean(np.sum(p[i] * np.log(p[i] / p[i].mean(0)), axis=1))) for i in parts]
    np.testing.assert_allclose(metrics.inception_score(p, groups=3), (np.mean(scores), np.std(scores)))


def test_kernel_distance_is_the_mean_over_the_subsets():
    a, b = np.random.default_rng(0).normal(size=(2, 40, 3))
    rng, found = np.random.default_rng(5), []
    for _ in range(3):
        i, j = rng.choice(40, 10, replace=False), rng.choice(40, 10, replace=False)
        found.append(metrics.kernel_distance(a[i], b[j], subsets=1, subset_size=10))
    assert len({round(x, 9) for x in found}) == 3
    np.testing.assert_allclose(metrics.kernel_distance(a, b, subsets=3, subset_size=10, seed=5), np.mean(found))


def test_few_test_images_are_nearer_than_95_percent_of_them():
    found = evaluation._copying(TEST.images, TEST.images, DIGITS.images)
    assert 0.04 < found["nearer_than_95_percent_of_test_images"] < 0.06


def test_ms_ssim_of_classes_has_its_mode():
    with pytest.raises(ValueError, match="too small for mode 'tensorflow'"):
        metrics.class_ms_ssim(DIGITS.images, DIGITS.labels, pairs=5, mode="tensorflow")


def test_samples_of_the_second_stage_are_fresh(monkeypatch):
    seeds = []
    monkeypatch.setattr(evaluation, "_inception_score", lambda run, judge, *about: seeds.append(about) or (1.0, 0.0))
    judge = SimpleNamespace(name="judge", hash="0")
    evaluation.two_stage_inception_score({"a": 1, "b": 2}, judge, (30, 5), (20, 2), seed=7)
    assert seeds == [(30, 5, 7), (30, 5, 7), (20, 2, 8)]


# --- judges ---


def test_a_judge_starts_from_the_weights_of_another():
    recipe = Recipe("digits", 8, (8,), 2)
    start = train_judge(DIGITS, recipe, seed=3)
    untrained = Recipe("digits", 8, (8,), 2, learning_rates=())
    assert train_judge(DIGITS, untrained, start=start).hash == start.hash
    assert train_judge(DIGITS, untrained).hash != start.hash


def test_judges_have_weight_decay_and_smoothed_labels():
    _, together = _classifiers(1, 8, 1, 10, (8,), 5e-4)
    assert together.optimizer.weight_decay == 5e-4
    logits, targets = np.array([[2.0, 0.0, 1.0]], "float32"), np.array([[1.0, 0.0, 0.0]], "float32")
    log_p = logits - np.log(np.exp(logits).sum())
    smoothed = 0.9 * targets + 0.1 / 3
    np.testing.assert_allclose(float(together.compute_loss(y=[targets], y_pred=[logits])), -(smoothed * log_p).sum(), rtol=1e-5)


def test_the_record_of_a_judge_without_mirroring_says_so():
    about = {"recipe": {"size": 8, "widths": [8]}, "channels": 1, "class_names": ["a"]}
    assert judges._check_record(about)["recipe"]["mirror"] is False
    about["recipe"]["mirror"] = True
    assert judges._check_record(about)["recipe"]["mirror"] is True


# --- training, resumed ---


def test_seconds_of_training_go_on(tmp_path):
    run = fit("digits", steps=1, outdir=tmp_path, **TINY)
    about = dict(config=run.config, history=run.history, step=1, seconds=1000.0)
    RunDirectory(tmp_path).save_checkpoint(run.gan, **about)
    assert fit("digits", steps=2, outdir=tmp_path, **TINY).history["seconds"][-1] >= 1000


def test_a_checkpoint_is_due_after_some_minutes(tmp_path):
    run = SimpleNamespace(outdir=tmp_path, config={"steps": 100, "class_names": ["a"]})
    saver, saved = RunSaver(run, about=dict, every=50, minutes=1), []
    saver.set_model(SimpleNamespace(g_optimizer=SimpleNamespace(iterations=np.array(7)), stop_training=False))
    saver.save_checkpoint = lambda: saved.append(7)
    for ago in (50, 70):
        saver.saved_at = time.monotonic() - ago
        saver.save_if_due()
        assert len(saved) == (ago > 60)


# --- many runs ---


def test_curves_of_a_record_are_those_of_each_seed(tmp_path):
    for seed in (0, 1):
        trials.run_folder(tmp_path, "a", seed).mkdir()
        history = {name: [1, 2] for name in new_history(False)} | {"d_loss": [9, 8 - seed]}
        RunDirectory(trials.run_folder(tmp_path, "a", seed)).write_history(history)
    rows = [dict(trial="a", seed=seed) for seed in (0, 1)]
    trials.write_curves(tmp_path / "curves.csv", rows, tmp_path, ["d_loss"])
    steps, values = trials.read_curve(tmp_path / "curves.csv", "a", "d_loss")
    assert (steps, values.tolist()) == ([1, 2], [[9, 8], [9, 7]])


def test_a_task_of_ray_has_what_was_asked_for():
    ray = SimpleNamespace(remote=lambda function: SimpleNamespace(options=lambda **found: found))
    found = cluster.ray_task(ray, print, 2, 0.5, 3)
    assert (found["num_cpus"], found["num_gpus"], found["max_retries"]) == (2, 0.5, 3)
    assert found["retry_exceptions"] == [OSError]  # a full disk, too


@pytest.mark.parametrize("jobs, most", [(None, 2), (1, 1)])
def test_jobs_are_the_trials_at_once(jobs, most, monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps, "run_tasks", lambda ray, submit, jobs, board: jobs)
    settings = {"a": {"steps": 1}, "b": {"steps": 1}}
    assert sweeps._train_all(None, print, tmp_path, {}, {}, jobs, False, settings, False) == most


def test_names_of_trials_that_would_share_a_folder_are_refused():
    for names in (("Adam", "adam"), ("a b", "a_b")):
        with pytest.raises(ValueError, match="would share a folder"):
            trials.name_trials({name: {} for name in names}, {})
    assert [*trials.name_trials({"lr: 1e-4": {}, "b": {}}, {})] == ["lr: 1e-4", "b"]


def test_what_is_significant_without_correction_has_p_below_5_percent():
    rows = trials.read_record(results_folder("ablations"))[0]
    values = {}
    for row in rows:
        values.setdefault(row["trial"], []).append(row["recall"])
    base = values.pop("defaults")
    clear = {t for t, v in values.items() if ttest_ind(v, base, equal_var=False).pvalue < 0.05}
    title = tables._column("recall")[0]
    line = next(row for row in tables.significance(rows, "defaults") if row[0] == title)
    assert {t for t in values if any(f"*{t}*" in cell for cell in line[1:])} == clear != set()


# --- the command line ---


CALLS = {  # a command: (function it calls, the arguments that must be among those it gets)
    "sample digits --best --truncation 1.5 --confidence 0.7": ("runs.load_run", True, 1.5, 0.7),
    "evaluate RUN --best --truncation 1.5 --confidence 0.7": ("runs.load_run", True, 1.5, 0.7),
    "export digits --best": ("runs.load_run", True),
    "push digits user/mine --best": ("runs.load_run", True),
    "plot RUN --coordinate 7": ("plots.latent_sweep", 7),
    "judge digits --seed 5": ("judges.make_judge", 5),
}


class Called(Exception):
    pass


@pytest.mark.parametrize("line", CALLS)
def test_options_reach_what_a_command_calls(line, monkeypatch, tmp_path):
    def caught(*given, **named):
        raise Called(*given, *named.values())

    (where, *expected), run = CALLS[line], runs.export_run(load_pretrained("digits"), tmp_path / "run")
    monkeypatch.setattr(f"acgan_nb.{where}", caught)
    done = CliRunner().invoke(main, line.replace("RUN", str(run)).split() + ["--outdir", str(tmp_path)] * ("judge" in line))
    assert isinstance(done.exception, Called), done.output
    given = list(done.exception.args)
    assert all(value in given for value in expected), given


def test_another_judge_of_features_is_used(monkeypatch, tmp_path):
    run = runs.export_run(load_pretrained("digits"), tmp_path / "run")
    monkeypatch.setattr(judges, "load_judge", lambda name: f"judge {name}")
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **named: (_ for _ in ()).throw(Called(named)))
    done = CliRunner().invoke(main, ["evaluate", str(run), "--features", "lite0", "--samples", "77"])
    [named] = done.exception.args
    assert (named["feature_judge"], named["samples"]) == ("judge lite0", 77)


@pytest.mark.parametrize("best", [True, False])
def test_two_stages_are_over_the_last_and_the_best_generator(best, monkeypatch, tmp_path):
    loaded = lambda *about: about[1:]  # noqa: E731  # (best, truncation, confidence)
    monkeypatch.setattr(runs, "load_run", loaded)
    monkeypatch.setattr(evaluation, "two_stage_inception_score", lambda *given, **named: (given, named))
    if best:
        RunDirectory(tmp_path).best_path.touch()
    run = SimpleNamespace(outdir=tmp_path, truncation=1.5, confidence=0.7)
    (found, judge), named = cli._two_stage(run, "judge", None, 9)
    assert found == {"last": (False, 1.5, 0.7)} | ({"best": (True, 1.5, 0.7)} if best else {})
    assert (judge, named) == ("judge", {"seed": 9})


# --- figures ---


def curves(ax):
    "{label: values} of the lines of a panel."
    return {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in ax.get_lines()}


def test_curves_of_training_are_those_of_the_history():
    keys = [key for _, _, panel in plots.PANELS for key in panel]
    history = {"step": [1, 2]} | {key: [i / 10, i / 20] for i, key in enumerate(keys)}
    drawn = [values for ax in plots.training_curves(history).axes for values in curves(ax).values()]
    assert drawn == [history[key] for key in keys]


def test_curves_of_evaluations_have_floor_and_limit():
    nan, names = np.nan, ("frechet_distance", "judge_accuracy", "ms_ssim", "ms_ssim_max")
    history = {"step": [1, 2, 3]} | {key: [i + 1, nan, i + 2] for i, key in enumerate(names)}
    left, middle, right = plots.evaluation_curves(history, {"frechet_floor": 0.5, "ms_ssim_limit": 7.0, "judge": "j"}).axes
    assert curves(left)["real images"] == [0.5, 0.5] and [1, 2] in curves(left).values()
    assert [*curves(middle).values()] == [[2, 3]]
    assert curves(right) == {"mean": [3, 4], "least diverse class": [4, 5], "limit of real classes": [7, 7]}


def test_diversity_is_generated_over_real():
    ax = plots.diversity([0.2, 0.4], [0.3, 0.1], "ab").axes[0]
    assert ax.collections[0].get_offsets().tolist() == [[0.2, 0.3], [0.4, 0.1]]
    assert curves(ax)["least diverse real class"] == [0.4, 0.4]


def test_pairs_are_the_most_similar_above_the_least():
    fig = plots.similar_pairs(DIGITS.images, DIGITS.labels, DIGITS.class_names, pairs=20, classes=[3, 5])
    top, bottom = np.reshape([float(ax.get_title().split(": ")[1]) for ax in fig.axes], (2, 2))
    assert (top > bottom).all() and [ax.get_title()[0] for ax in fig.axes] == [*"3535"]


def test_styles_have_a_z_per_row_and_a_class_per_column():
    run = load_pretrained("digits")
    shown = plots.styles(run, rows=2, classes=[3, 5]).axes[0].images[0].get_array()
    z = run.latents(2, 0)[[0, 0, 1, 1]]
    np.testing.assert_array_equal(shown, image_grid(generate(run.generator, z, [3, 5, 3, 5]), 2)[..., 0])


def test_figures_of_a_report_are_of_the_columns_they_name():
    from acgan_nb.report import _diversity_figure, _joint_figure

    report = json.loads((results_folder("digits") / "report.json").read_text())
    real, fake = (report[name] for name in ("real", "generated"))
    points = _diversity_figure(None, report, None).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, np.c_[real["ms_ssim_by_class"], fake["ms_ssim_by_class"]])
    points = _joint_figure(None, report, None).axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, np.c_[fake["ms_ssim_by_class"], fake["gan_test_by_class"]])
