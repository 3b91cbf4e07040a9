"The training step against an oracle in plain NumPy, and every architecture taking real steps."

import keras
import numpy as np
import pytest
from keras import layers

from acgan_nb.data import Dataset
from acgan_nb.gan import ACGAN, LOGS
from acgan_nb.models import ARCHITECTURES, SoftSigmoid
from acgan_nb.runs import build_gan
from acgan_nb.train import fit

B, K, PIXELS, RATE = 6, 3, 2, 0.3


def tiny_gan(**options):
    "G is a table of one 1x2 image per class; D is linear. Both are small enough to redo in NumPy."
    z, label = keras.Input((1,)), keras.Input((), dtype="int32")
    pixels = layers.Add()([layers.Embedding(K, PIXELS)(label), layers.Rescaling(0.0)(z)])
    image = layers.Reshape((1, PIXELS, 1))(pixels)
    x = keras.Input((1, PIXELS, 1))
    d = keras.Model(x, SoftSigmoid()(layers.Dense(K + 1)(layers.Flatten()(x))))
    gan = ACGAN(keras.Model([z, label], image), d, ema=0.5)
    rng = np.random.default_rng(3)
    gan.generator.set_weights([rng.uniform(-0.8, 0.8, (K, PIXELS))])
    gan.ema_generator.set_weights(gan.generator.get_weights())
    d.set_weights([rng.normal(size=(PIXELS, K + 1)), rng.normal(size=K + 1)])
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
]


@pytest.mark.parametrize("game", GAMES, ids=str)
def test_step_maximises_what_the_paper_says(game):
    gan = tiny_gan(**game)
    weight = game.get("class_weight", 1.0)
    g_weight = game.get("g_class_weight", weight)
    rng = np.random.default_rng(0)
    real, real_labels = rng.uniform(-1, 1, (B, PIXELS)), np.array([0, 1, 2, -1, 1, -1])
    gan.set_randomness(0)
    fake_labels = np.asarray(gan.draw(B)[1])
    table = gan.generator.get_weights()[0].astype(float)
    w, b = (a.astype(float) for a in gan.discriminator.get_weights())

    def d_gain(w, b):  # D maximises L_S + L_C
        l_s, l_c = likelihoods(w, b, real, real_labels, table[fake_labels], fake_labels)
        return l_s + weight * l_c

    new_w, new_b = ascend(lambda a: d_gain(a, b), w), ascend(lambda a: d_gain(w, a), b)

    def g_gain(table):  # G maximises L_C - L_S, against the updated D
        fake = table[fake_labels]
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


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_architecture_trains(arch):
    shape = ARCHITECTURES[arch].image_shape
    rng = np.random.default_rng(0)
    data = Dataset(rng.integers(0, 256, (8, *shape), dtype="uint8"), np.arange(8) % 4)
    after = fit(data, arch=arch, steps=2, batch_size=4, verbose=False)
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


def test_keras_callbacks_and_tensorboard(tmp_path):
    log = keras.callbacks.CSVLogger(tmp_path / "keras.csv")
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs["g_loss"])
    options = dict(callbacks=[log, stop], tensorboard=True, verbose=False)
    run = fit("digits", steps=16, outdir=tmp_path / "run", **options)
    assert "d_gz_after" in (tmp_path / "keras.csv").read_text().splitlines()[0]
    assert list((tmp_path / "run" / "tensorboard").rglob("events*"))
    assert run.history["step"] == [16]
