"The training step against an oracle in plain NumPy, and every architecture taking real steps."

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tiny  # noqa: F401  # an architecture of the package then
from keras import layers

from acgan_nb.data import Dataset, from_pixels, hide_labels, load, repeat_labelled
from acgan_nb.directory import RunDirectory
from acgan_nb.evaluation import discriminator_accuracy
from acgan_nb.gan import ACGAN, LOGS, adam
from acgan_nb.heads import HEADS, DiscriminativeHead, ProxyHead, SoftSigmoid
from acgan_nb.judges import load_judge
from acgan_nb.losses import class_loss, d2d_ce_loss
from acgan_nb.models import (
    ARCHITECTURES,
    SpectralNorm,
    build_discriminator,
    build_generator,
    noise_schedule,
)
from acgan_nb.monitor import CollapseWarning
from acgan_nb.plan import check_fit
from acgan_nb.runs import build_gan, load_run
from acgan_nb.train import fit

DIGITS = load("digits")
B, K, E, PIXELS, RATE = 6, 3, 4, 2, 0.3


def tiny_gan(spectral_norm=False, **options):
    "G is a table of one 1x2 image per class; D is linear. Both are small enough to redo in NumPy."
    z, label = keras.Input((1,)), keras.Input((), dtype="int32")
    pixels = layers.Add()([layers.Embedding(K, PIXELS)(label), layers.Rescaling(0.0)(z)])
    image = layers.Reshape((1, PIXELS, 1))(pixels)
    x = keras.Input((1, PIXELS, 1))
    heads = {"acgan": (K + 1, SoftSigmoid()), "adc": (2 * K + 1, DiscriminativeHead())}
    heads["d2d_ce"] = E + 1, ProxyHead(K)
    heads |= {name: (HEADS[name].units(K), HEADS[name]()) for name in ("projection", "tac")}
    units, head = heads[options.pop("class_head", "acgan")]
    dense = layers.Dense(units, use_bias=not spectral_norm)
    dense = SpectralNorm(dense) if spectral_norm else dense
    d = keras.Model(x, head(dense(layers.Flatten()(x))))
    gan = ACGAN(keras.Model([z, label], image), d, ema=0.5)
    rng = np.random.default_rng(3)
    gan.generator.set_weights([rng.uniform(-0.8, 0.8, (K, PIXELS))])
    gan.ema_generator.set_weights(gan.generator.get_weights())
    for w in d.trainable_weights:
        w.assign(rng.normal(size=w.shape))
    gan.compile(keras.optimizers.SGD(RATE), keras.optimizers.SGD(RATE), **options)
    return gan


def log_p(images, w, b):
    "log P(S=real|X), log P(S=fake|X), log P(C|X) of a linear D, as the paper writes them."
    logits = images @ w + b
    real = 1 / (1 + np.exp(-logits[:, K]))
    classes = np.exp(logits[:, :K])
    return np.log(real), np.log(1 - real), np.log(classes / classes.sum(1, keepdims=True))


def likelihoods(w, b, real, real_labels, fake, fake_labels):
    "The paper's L_S and L_C."
    s_real, _, c_real = log_p(real, w, b)
    _, s_fake, c_fake = log_p(fake, w, b)
    known = real_labels >= 0
    l_c = c_real[known, real_labels[known]].mean() + c_fake[np.arange(B), fake_labels].mean()
    return s_real.mean() + s_fake.mean(), l_c


def ascend(f, theta, h=1e-6):
    "One step of gradient ascent by central differences, in float64."
    gradient = np.zeros_like(theta)
    for i in np.ndindex(theta.shape):
        step = np.zeros_like(theta)
        step[i] = h
        gradient[i] = (f(theta + step) - f(theta - step)) / (2 * h)
    return theta + RATE * gradient


GAMES = [
    dict(objective="non_saturating"),
    dict(objective="minimax"),
    dict(class_weight=0.5),
    dict(class_weight=0.5, g_class_weight=0.1),
    dict(batch_statistics="joint"),
    dict(r1=0.7),
    dict(flip=True),
    dict(augment="color", flip=True, r1=0.7),
]
SEEN = {  # what D sees of real and of generated images, and in G's turn
    "none": [lambda x: x] * 3,
    "color": [lambda x: 0.5 * x + 0.1, lambda x: 0.7 * x - 0.2, lambda x: 1.3 * x + 0.05],
}


@pytest.mark.parametrize("game", GAMES, ids=str)
def test_step_maximises_what_the_paper_says(game, monkeypatch):
    monkeypatch.setattr("acgan_nb.gan.views", lambda kinds, count, seed: SEEN[kinds])
    of_real, of_fake, in_g_turn = SEEN[game.get("augment", "none")]
    gan, r1 = tiny_gan(**game), game.get("r1", 0)
    weight = game.get("class_weight", 1.0)
    g_weight = game.get("g_class_weight", weight)
    rng = np.random.default_rng(0)
    real, real_labels = rng.uniform(-1, 1, (B, PIXELS)), np.array([0, 1, 2, -1, 1, -1])
    gan.set_randomness(0)
    fake_labels = np.asarray(gan.draw(B)[1])
    shown = real
    if "flip" in game:
        chosen = np.asarray(keras.random.uniform((B,), seed=gan.seed_generator)) < 0.5
        assert 0 < chosen.sum() < B
        shown = np.where(chosen[:, None], real[:, ::-1], real)
    table = gan.generator.get_weights()[0].astype(float)
    w, b = (a.astype(float) for a in gan.discriminator.get_weights())

    def d_gain(w, b):  # D maximises L_S + L_C - R_1; the slope of a linear D is its weight
        seen = of_real(shown), real_labels, of_fake(table[fake_labels]), fake_labels
        l_s, l_c = likelihoods(w, b, *seen)
        return l_s + weight * l_c - r1 / 2 * np.sum(w[:, K] ** 2)

    new_w, new_b = ascend(lambda a: d_gain(a, b), w), ascend(lambda a: d_gain(w, a), b)

    def g_gain(table):  # G maximises L_C - L_S, against the updated D
        fake = in_g_turn(table[fake_labels])
        l_s, l_c = likelihoods(new_w, new_b, real, real_labels, fake, fake_labels)
        if game.get("objective") == "minimax":
            return g_weight * l_c - l_s
        return g_weight * l_c + log_p(fake, new_w, new_b)[0].mean()

    new_table = ascend(g_gain, table)
    images = real.reshape(B, 1, PIXELS, 1).astype("float32")
    logs = gan.train_on_batch(images, real_labels, return_dict=True)
    np.testing.assert_allclose(gan.discriminator.get_weights()[0], new_w, atol=2e-6)
    np.testing.assert_allclose(gan.discriminator.get_weights()[1], new_b, atol=2e-6)
    np.testing.assert_allclose(gan.generator.get_weights()[0], new_table, atol=2e-6)
    np.testing.assert_allclose(logs["d_loss"], -d_gain(w, b), rtol=1e-5)
    average = table + (1 - 2 / 11) * (new_table - table)  # decay (1 + t) / (10 + t) at t = 1
    np.testing.assert_allclose(gan.ema_generator.get_weights()[0], average, atol=2e-6)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def adc_terms(t, images, labels, real):
    """Source logits, log C(c+|X) or log C(c-|X) as D wants it, and G's log C(c+|X) - log C(c-|X)."""
    logits = images @ t["kernel"] + t["bias"]
    log_c = logits[:, :-1] - np.log(np.exp(logits[:, :-1]).sum(1, keepdims=True))
    known = np.flatnonzero(labels >= 0)
    plus, minus = log_c[known, labels[known]], log_c[known, K + labels[known]]
    return logits[:, -1], (plus if real else minus).mean(), (plus - minus).mean()


def d2d_terms(t, images, labels, real, tau=0.5, m_p=0.98, m_n=0.02):
    logits = images @ t["kernel"] + t["bias"]
    f, v, each = unit(logits[:, :-1]), unit(t["proxies"]), []
    for i in np.flatnonzero(labels >= 0):
        own = np.exp(min(f[i] @ v[labels[i]] - m_p, 0) / tau)
        others = [j for j in np.flatnonzero(labels >= 0) if labels[j] != labels[i]]
        rest = sum(np.exp(max(f[i] @ f[j] - m_n, 0) / tau) for j in others)
        each.append(np.log(own / (own + rest)))
    return logits[:, -1], np.mean(each), np.mean(each)


def projection_terms(t, images, labels, real):
    "The class is in the source logit: l_c + psi; an unlabelled image has psi alone."
    logits = images @ t["kernel"] + t["bias"]
    of_label = np.where(labels >= 0, logits[np.arange(len(labels)), labels], 0)
    return logits[:, -1] + of_label, 0.0, 0.0


def tac_terms(t, images, labels, real):
    """Source logits, log C(c|X) of real or log C'(c|X) of generated, G's log C(c|X) - log C'(c|X)."""
    logits = images @ t["kernel"] + t["bias"]
    known = np.flatnonzero(labels >= 0)
    c, twin = (
        (l - np.log(np.exp(l).sum(1, keepdims=True)))[known, labels[known]]
        for l in (logits[:, :K], logits[:, K : 2 * K])
    )
    return logits[:, -1], (c if real else twin).mean(), (c - twin).mean()


def spectral_terms(t, images, labels, real):
    w, u = t["kernel"], t["u"]
    if u is None:
        sigma = np.linalg.svd(w, compute_uv=False)[0]
    else:  # one power iteration from u
        sigma = np.linalg.norm(w.T @ unit(w @ u))
    logits = images @ w / sigma + t["bias"]
    log_c = logits[:, :-1] - np.log(np.exp(logits[:, :-1]).sum(1, keepdims=True))
    known = np.flatnonzero(labels >= 0)
    return logits[:, -1], log_c[known, labels[known]].mean(), log_c[known, labels[known]].mean()


LATER = {"adc": adc_terms, "d2d_ce": d2d_terms, "acgan": spectral_terms}
LATER |= {"projection": projection_terms, "tac": tac_terms}


@pytest.mark.parametrize("head", LATER)
def test_step_with_a_later_head_or_spectral_norm(head):
    gan = tiny_gan(class_head=head, spectral_norm=head == "acgan")
    rng = np.random.default_rng(0)
    real, real_labels = rng.uniform(-1, 1, (B, PIXELS)), np.array([0, 1, 2, -1, 1, -1])
    gan.set_randomness(0)
    fake_labels, terms = np.asarray(gan.draw(B)[1]), LATER[head]
    table = gan.generator.get_weights()[0].astype(float)
    theta = {w.name: w.numpy().astype(float) for w in gan.discriminator.trainable_weights}
    converged = None
    if head == "acgan":  # u as after many steps
        converged = np.linalg.svd(theta["kernel"])[2][0]
        gan.discriminator.layers[2].u.assign(converged)

    def d_gain(t):
        t, fake = {**t, "u": None}, table[fake_labels]
        s_real, c_real, _ = terms(t, real, real_labels, True)
        s_fake, c_fake, _ = terms(t, fake, fake_labels, False)
        l_s = np.mean(-np.log1p(np.exp(-s_real))) + np.mean(-np.log1p(np.exp(s_fake)))
        return l_s + c_real + c_fake

    new = {k: ascend(lambda a, k=k: d_gain({**theta, k: a}), v) for k, v in theta.items()}

    def g_gain(table):
        s, _, c = terms({**new, "u": converged}, table[fake_labels], fake_labels, True)
        return np.mean(-np.log1p(np.exp(-s))) + c

    new_table = ascend(g_gain, table)
    images = real.reshape(B, 1, PIXELS, 1).astype("float32")
    logs = gan.train_on_batch(images, real_labels, return_dict=True)
    for w in gan.discriminator.trainable_weights:
        np.testing.assert_allclose(w.numpy(), new[w.name], atol=3e-6, err_msg=w.name)
        assert np.abs(new[w.name] - theta[w.name]).max() > 1e-3
    np.testing.assert_allclose(gan.generator.get_weights()[0], new_table, atol=3e-6)
    np.testing.assert_allclose(logs["d_loss"], -d_gain(theta), rtol=1e-5)


def test_spectral_norm_holds_while_training_and_resumes(tmp_path):
    "Singular values of the kernels in use are about 1; halves make a whole; a run loads."
    options = dict(class_head="d2d_ce", spectral_norm=True, mixed_precision=True, verbose=False)
    options |= dict(arch="tiny")
    options |= dict(augment="color,translation,cutout", flip=True, r1=0.1, batch_size=20)
    whole = fit("digits", steps=24, outdir=tmp_path / "whole", **options)
    for steps in (12, 24):
        halves = fit("digits", steps=steps, outdir=tmp_path / "halves", **options)
    for a, b in zip(halves.gan.weights, whole.gan.weights):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    normalised = [l for l in whole.discriminator.layers if isinstance(l, SpectralNorm)]
    assert len(normalised) == 3 and not batch_norms(whole.discriminator)
    for layer in normalised:
        w = layer.layer.kernel.numpy().reshape(-1, layer.u.shape[0])
        sigma = np.linalg.norm(w.T @ unit(w @ layer.u.numpy()))  # what the next pass divides by
        assert np.linalg.svd(w / sigma, compute_uv=False)[0] == pytest.approx(1, abs=0.1)
    loaded = load_run(tmp_path / "whole")
    np.testing.assert_array_equal(loaded.sample(3, count=2), whole.sample(3, count=2))
    x = np.zeros((2, 8, 8, 1), "float32")
    for a, b in zip(loaded.discriminator(x), whole.discriminator(x)):
        np.testing.assert_array_equal(a, b)


def test_few_labels_train_and_are_evaluated():
    "100 labels: the shipped judge looks on, all pairs of ten images count, D can be examined."
    few = hide_labels(load("digits"), 100)
    run = fit(few, steps=4, evaluate_every=4, verbose=False, class_head="d2d_ce")
    evaluation, history = run.config["evaluation"], run.history
    assert (evaluation["judge"], evaluation["pairs"]) == ("digits", 45)
    assert evaluation["judge_hash"] == load_judge("digits").hash
    assert all(np.isfinite(values).all() for values in history.values())
    test = load("digits", "test")
    classes = np.asarray(run.discriminator(from_pixels(test.images))[1]).argmax(axis=1)
    found = discriminator_accuracy(run, test.images, test.labels)
    assert found == np.mean(classes == test.labels)


def batch_norms(model):
    return [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_trains(arch):
    shape = ARCHITECTURES[arch].image_shape
    rng = np.random.default_rng(0)
    data = Dataset(rng.integers(0, 256, (8, *shape), dtype="uint8"), np.arange(8) % 4)
    after = fit(data, arch=arch, steps=1, batch_size=4, verbose=False)
    before = build_gan(after.config)
    for player in ("generator", "discriminator"):
        old, new = (getattr(gan, player).trainable_weights for gan in (before, after.gan))
        for a, b in zip(old, new):
            assert np.isfinite(b.numpy()).all() and (a.numpy() != b.numpy()).any(), b.path
    assert after.sample([0, 3]).shape == (2, *shape)


def test_xla_is_off_on_cpu_and_works_when_asked_for():
    assert tiny_gan().jit_compile is False
    images = np.zeros((B, 1, PIXELS, 1), "float32")
    logs = tiny_gan(jit_compile=True).train_on_batch(images, np.zeros(B, int), return_dict=True)
    assert set(logs) == set(LOGS) and np.isfinite(list(logs.values())).all()


def test_a_row_of_an_embedding_takes_the_step_of_the_sum_of_its_gradients():
    "Adam's first step is the learning rate times g / (|g| + epsilon), however many images have the class."
    gan = tiny_gan()
    gan.compile(adam(0.1, 0.5), adam(0.1, 0.5))
    before = [np.array(w) for w in gan.generator.weights]
    gan.train_on_batch(from_pixels(np.zeros((50, 1, PIXELS, 1), "uint8")), np.arange(50) % K)
    [moved] = [np.array(w) - b for w, b in zip(gan.generator.weights, before)]
    np.testing.assert_allclose(abs(moved), 0.1, rtol=1e-3)


def test_images_of_a_short_last_batch_count_as_the_others():
    gan = build_gan(check_fit("digits", arch="tiny").config)
    gan.compile(adam(1e-3, 0.5), adam(1e-3, 0.5))
    images, labels = from_pixels(DIGITS.images[:40]), DIGITS.labels[:40]
    found = [gan.evaluate(images, labels, batch_size=size, verbose=0, return_dict=True) for size in (32, 40)]
    for name in ("source_real", "class_real", "class_accuracy_real", "d_x"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-5), name


def test_stages_of_the_noise_change_after_a_third_of_the_steps():
    schedule = noise_schedule("three_stage", 1, 3)
    assert [float(schedule(step)) for step in range(3)] == [1.0, 0.5, 0.0]
    assert [float(noise_schedule("three_stage", 0.2, 9)(s)) > 0.15 for s in range(9)].count(True) == 3


def test_evaluations_count_repeated_images_once_and_do_not_depend_on_the_seed():
    few = hide_labels(DIGITS, 200)
    plan, plain = (check_fit(d, evaluate_every=1) for d in (repeat_labelled(few, 0.5), few))
    assert len(plan.evaluated) == len(plain.evaluated) == len(DIGITS)
    assert np.array_equal(plan.evaluated.class_counts, few.class_counts)
    options = dict(arch="tiny", steps=1, evaluate_every=1, batch_size=20, verbose=False)
    found = [fit("digits", seed=seed, **options).config["evaluation"] for seed in (0, 1)]
    assert found[0] == found[1]


def test_an_earlier_run_goes_on_with_the_evaluations_that_it_had(tmp_path):
    "Those of earlier versions had the seed of the run."
    options = dict(arch="tiny", evaluate_every=1, batch_size=20, verbose=False, outdir=tmp_path)
    run = fit("digits", steps=1, seed=3, **options)
    earlier = {**run.config, "evaluation": {**run.config["evaluation"], "seed": 3}}
    about = dict(config=earlier, history=run.history, step=1, seconds=1.0)
    RunDirectory(tmp_path).save_checkpoint(run.gan, **about)
    assert fit("digits", steps=2, seed=3, **options).config["evaluation"]["seed"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="no oneDNN in TensorFlow's other wheels")
def test_tensorflow_is_asked_for_its_fast_convolutions():
    "By the package, which tests import before TensorFlow."
    from tensorflow.python.util import _pywrap_util_port as built

    assert built.IsMklEnabled() == (os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1")


@pytest.mark.parametrize("asked", ["0", "1"])
def test_what_the_user_asked_of_tensorflow_stays(asked):
    code = "import acgan_nb, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    env = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": asked}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == [asked]


def test_keras_callbacks_and_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra `tensorboard`")
    log = keras.callbacks.CSVLogger(tmp_path / "keras.csv")
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs["g_loss"])
    options = dict(callbacks=[log, stop], tensorboard=True, verbose=False)
    run = fit("digits", steps=16, outdir=tmp_path / "run", **options)
    assert "d_gz_after" in (tmp_path / "keras.csv").read_text().splitlines()[0]
    assert run.history["step"] == [16]


@pytest.mark.parametrize("at_once", [1, 4])
def test_tensorboard_has_the_history_at_its_steps(at_once, tmp_path):
    events = "tensorboard.backend.event_processing.event_accumulator"
    event_accumulator = pytest.importorskip(events)
    options = dict(arch="tiny", tensorboard=True, log_every=4, evaluate_every=6, verbose=False)
    options |= dict(outdir=tmp_path)
    with pytest.warns(CollapseWarning):
        for steps in (6, 14):  # the second goes on with the first
            run = fit("digits", steps=steps, steps_per_execution=at_once, **options)
    folder = str(tmp_path / "tensorboard")
    board = event_accumulator.EventAccumulator(folder).Reload()
    events = {name: board.Tensors(name) for name in board.Tags()["tensors"]}
    assert events.keys() == run.history.keys() - {"step"}
    assert [e.step for e in events["d_loss"]] == run.history["step"] == [4, 6, 8, 12, 14]
    assert [e.step for e in events["frechet_distance"]] == [6, 12, 14]
    values = [e.tensor_proto.float_val[0] for e in events["d_loss"]]
    assert values == pytest.approx(run.history["d_loss"])


@pytest.mark.parametrize(
    ("images", "labels", "line"),
    [
        (np.zeros((4, 8, 8, 1), "uint8"), np.zeros((4, 1), int), r"got shape \(.*, 1\)"),
        (np.zeros((4, 8, 8, 1), "int32"), np.zeros(4, int), "images must be uint8 or floats"),
    ],
)
def test_batches_of_the_wrong_kind(images, labels, line):
    gan = build_gan(check_fit("digits").config)
    with pytest.raises(ValueError, match=line):
        gan.fit(images, labels, batch_size=2, verbose=0)


def test_class_loss_wants_one_id_per_image():
    with pytest.raises(ValueError, match=r"labels must be \(B,\) class ids, got shape \(3, 1\)"):
        class_loss(np.zeros((3, 5), "float32"), np.zeros((3, 1), int))
    with pytest.raises(ValueError, match=r"labels must be \(B,\) class ids, got shape \(3, 1\)"):
        d2d_ce_loss(np.eye(3, dtype="float32"), np.eye(3, dtype="float32"), np.zeros((3, 1), int))


class HundredDigits(keras.utils.PyDataset):
    "Two batches of fifty."

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return DIGITS.images[50 * i : 50 * i + 50], DIGITS.labels[50 * i : 50 * i + 50]


def tf_data():
    import tensorflow as tf

    arrays = DIGITS.images[:100], DIGITS.labels[:100]
    return tf.data.Dataset.from_tensor_slices(arrays).batch(50)


INPUTS = {  # what `ACGAN.fit` is given, and its other arguments
    "tf.data": lambda: ((tf_data(),), {}),
    "generator": lambda: (((HundredDigits()[i % 2] for i in range(99)),), dict(steps_per_epoch=2)),
    "PyDataset": lambda: ((HundredDigits(),), {}),
    "floats": lambda: ((from_pixels(DIGITS.images[:100]), DIGITS.labels[:100]), dict(batch_size=50)),
}


def two_steps(*data, **options):
    gan = ACGAN(build_generator("digits"), build_discriminator("digits"))
    gan.compile("adam", "adam", run_eagerly=True)
    history = gan.fit(*data, shuffle=False, verbose=0, **options).history
    return np.concatenate([np.ravel(w) for w in gan.get_weights()]), history


@pytest.fixture(scope="module")
def after_two_steps():
    return two_steps(DIGITS.images[:100], DIGITS.labels[:100], batch_size=50)[0]


@pytest.mark.parametrize("kind", INPUTS)
def test_keras_fit_takes_any_source_of_batches(kind, after_two_steps):
    data, options = INPUTS[kind]()
    found, history = two_steps(*data, **options)
    np.testing.assert_allclose(found, after_two_steps, atol=1e-6)
    assert set(history) == set(LOGS)


def test_validation_is_of_the_model_as_it_is():
    "Dropout off, running batch statistics, nothing updated; the same numbers by hand."
    gan = ACGAN(build_generator("digits"), build_discriminator("digits"), seed=5)
    gan.compile(run_eagerly=True)
    before = [np.array(w) for w in gan.weights]
    images, labels = DIGITS.images[:60], DIGITS.labels[:60]
    found = gan.evaluate(images, labels, batch_size=60, verbose=0, return_dict=True)
    source, classes = gan.discriminator(from_pixels(images), training=False)
    assert float(found["source_real"]) == pytest.approx(np.log1p(np.exp(-np.array(source))).mean(), rel=1e-5)
    assert float(found["class_real"]) == pytest.approx(float(class_loss(classes, labels)), rel=1e-5)
    assert found == gan.evaluate(images, labels, batch_size=60, verbose=0, return_dict=True)
    after = [np.array(w) for w in gan.weights]
    assert int(gan.d_optimizer.iterations) == int(gan.g_optimizer.iterations) == 0
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize("head", ["projection", "tac"])
def test_a_later_head_goes_on_from_a_saved_model(head, tmp_path):
    gan = tiny_gan(class_head=head, run_eagerly=True)
    batch = np.zeros((B, 1, PIXELS, 1), "float32"), np.array([0, 1, 2, -1, 1, -1])
    gan.train_on_batch(*batch)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    assert type(again.head) is HEADS[head]
    gan.reset_metrics()  # which train_on_batch does itself in later versions of Keras
    logs = [model.train_on_batch(*batch, return_dict=True) for model in (gan, again)]
    assert logs[0] == logs[1] and logs[0]["class_fake"] * (head == "projection") == 0
    for a, b in zip(gan.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


def test_class_terms_are_means_over_the_labelled_images():
    "However few they are, and in whichever batches."
    gan, few = ACGAN(build_generator("tiny"), build_discriminator("tiny")), np.arange(7)
    gan.compile()
    labels = np.full(100, -1)
    labels[few] = DIGITS.labels[few]
    options = dict(verbose=0, return_dict=True)
    found = gan.evaluate(DIGITS.images[:100], labels, batch_size=20, **options)  # five batches, one has labels
    alone = gan.evaluate(DIGITS.images[few], labels[few], batch_size=7, **options)
    for name in ("class_real", "class_accuracy_real"):
        assert found[name] == pytest.approx(alone[name], rel=1e-5), name
    assert found["source_real"] != pytest.approx(alone["source_real"], rel=1e-5)
    everything = gan.evaluate(DIGITS.images[:90], DIGITS.labels[:90], batch_size=30, **options)
    parts = [gan.evaluate(DIGITS.images[i : i + 30], DIGITS.labels[i : i + 30], batch_size=30, **options) for i in (0, 30, 60)]
    assert everything["class_real"] == pytest.approx(np.mean([part["class_real"] for part in parts]), rel=1e-6)


@pytest.mark.parametrize("head", ["adc", "tac"])
def test_a_head_that_needs_generated_images_gets_them(head):
    gan = ACGAN(build_generator("tiny"), build_discriminator("tiny", class_head=head))
    with pytest.raises(ValueError, match=f"class_head='{head}' needs class_loss_on_fake=True"):
        gan.compile(class_loss_on_fake=False)
