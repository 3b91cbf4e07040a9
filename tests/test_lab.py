"""The AC-GAN Lab: its step is the package's, its games end as the pages say, and it runs in a browser.

Node runs the mathematics, headless Chromium the page; without them these tests are skipped."""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from acgan_nb.gan import ACGAN, LOGS, adam
from acgan_nb.heads import HEADS
from acgan_nb.losses import generator_loss

LIVE = Path(__file__).parents[1] / "nbs" / "live"
TERMS = "source_real source_fake class_real class_fake source class".split()
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node")


def node(code, given):
    "What an ES module of this `code` makes of `given`: it finds it as `given` and calls `give`."
    start = "import { readFileSync } from 'fs';\n" + "\n".join(
        f"import * as {name} from {json.dumps((LIVE / name).with_suffix('.js').as_uri())};"
        for name in ("game", "plane")
    )
    start += "\nconst given = JSON.parse(readFileSync(0)), give = (x) => console.log(JSON.stringify(x));\n"
    command = [NODE, "--input-type=module", "--eval", start + code]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


# One step against Keras

K, BATCH, STEPS_BEFORE = 3, 20, 7
WITHOUT = [[], *([term] for term in TERMS), TERMS[:2] + TERMS[4:5], TERMS[2:4] + TERMS[5:]]
GAMES = [("acgan", "non_saturating", 1.0), ("acgan", "minimax", 0.5)]
GAMES += [("adc", "non_saturating", 2.0), ("adc", "minimax", 0.25)]


class ACGANWithout(ACGAN):
    "Terms can be taken out of the objectives."

    without = ()

    def left_out(self, terms, weight):
        weights = {name: weight if name.startswith("class") else 1.0 for name in self.without}
        return sum(weight * terms[name] for name, weight in weights.items() if name in terms)

    def d_objective(self, *batch, **options):
        loss, logs = super().d_objective(*batch, **options)
        loss = loss - self.left_out(logs, self.game["class_weight"])
        return loss, {**logs, "d_loss": loss}

    def g_objective(self, fake, labels, **options):
        loss, logs = super().g_objective(fake, labels, **options)
        outputs, class_term = self.discriminator(fake), self.head.g_term
        objective = self.game["objective"]
        _, terms = generator_loss(outputs, labels, class_term=class_term, objective=objective)
        loss = loss - self.left_out(terms, self.game["g_class_weight"])
        return loss, {**logs, "g_loss": loss}


def mlp(x, last, activation=None):
    for _ in range(2):
        x = layers.LeakyReLU(negative_slope=0.2)(layers.Dense(32)(x))
    return layers.Dense(last, activation)(x)


def gan_of(head, objective, class_weight):
    z, labels, point = keras.Input((4,)), keras.Input((), dtype="int32"), keras.Input((2,))
    told = layers.Concatenate()([z, keras.ops.one_hot(labels, K)])
    generator = keras.Model([z, labels], mlp(told, 2, "tanh"))
    logits = mlp(point, HEADS[head].units(K))
    gan = ACGANWithout(generator, keras.Model(point, HEADS[head]()(logits)), ema=0.99, seed=1)
    options = dict(objective=objective, class_weight=class_weight, run_eagerly=True)
    gan.compile(adam(0.03), adam(0.02), **options)
    return gan


def set_state(gan, rng):
    "Weights, moments and averages as in the middle of a game, the same for all terms."
    for network in (gan.generator, gan.discriminator, gan.ema_generator):
        network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    for optimizer in (gan.g_optimizer, gan.d_optimizer):
        optimizer.iterations.assign(STEPS_BEFORE)
        for m, v in zip(optimizer._momentums, optimizer._velocities):
            m.assign(rng.normal(0, 0.03, m.shape))
            v.assign(rng.uniform(1e-4, 1e-2, v.shape))
    gan.reset_metrics()


def flat(arrays):
    return [np.asarray(a, "float64").ravel().tolist() for a in arrays]


def state_of(gan):
    def moments(optimizer):
        return {"m": flat(optimizer._momentums), "v": flat(optimizer._velocities)}

    networks = {name: flat(getattr(gan, name).weights) for name in NETWORKS}
    optimizers = {name: moments(getattr(gan, name)) for name in ("g_optimizer", "d_optimizer")}
    return {**networks, **optimizers, "step": int(gan.g_optimizer.iterations)}


NETWORKS = ("generator", "discriminator", "ema_generator")


def settings_of(head, objective, class_weight, without):
    rates = {"g_learning_rate": 0.03, "d_learning_rate": 0.02}
    game = {"head": head, "objective": objective, "class_weight": class_weight}
    return {**game, **rates, "classes": K, "without": without}


def both_steps(game):
    "For each list of terms left out: the state before Keras' step, the one after it, and its logs."
    rng = np.random.default_rng(0)
    real = rng.uniform(-1, 1, (BATCH, 2)).astype("float32")
    real_labels = rng.integers(0, K, BATCH).astype("int32")
    gan = gan_of(*game)
    for without in WITHOUT:
        set_state(gan, np.random.default_rng(1))
        gan.without = without
        gan.set_randomness(STEPS_BEFORE)
        z, fake_labels = gan.draw(BATCH)
        batch = flat([real, real_labels, z, fake_labels])
        batch = dict(zip(("real", "real_labels", "z", "fake_labels"), batch))
        before = {**state_of(gan), "settings": settings_of(*game, without), "batch": batch}
        logs = gan.train_step((keras.ops.convert_to_tensor(real), real_labels))
        yield before, state_of(gan), {name: float(logs[name]) for name in LOGS}


@pytest.fixture(scope="module")
def steps():
    "All steps of all games, by Keras and by node: (before, after, logs, node's after and logs)."
    made = {(game, i): s for game in GAMES for i, s in enumerate(both_steps(game))}
    code = "give(given.map((state) => plane.plain(game.step(plane.typed(state)))));"
    by_node = node(code, [before for before, _, _ in made.values()])
    return {key: (*step, other) for (key, step), other in zip(made.items(), by_node, strict=True)}


@needs_node
@pytest.mark.parametrize("without", range(len(WITHOUT)), ids=lambda i: "+".join(WITHOUT[i]) or "all")
@pytest.mark.parametrize("game", GAMES, ids=lambda game: "-".join(game[:2]))
def test_step_is_that_of_the_package(steps, game, without):
    before, after, logs, other = steps[game, without]
    near = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    near([other["logs"][n] for n in LOGS], [logs[n] for n in LOGS])
    assert other["state"]["step"] == after["step"] == STEPS_BEFORE + 1
    for name in NETWORKS:
        ours, theirs, start = map(np.concatenate, (s[name] for s in (after, other["state"], before)))
        near(theirs, ours)
        assert np.abs(ours - start).max() > 1e-3  # so a step that does nothing would be noticed
    for name in ("g_optimizer", "d_optimizer"):
        for moment, atol in (("m", 1e-5), ("v", 1e-7)):
            near(*(np.concatenate(s[name][moment]) for s in (other["state"], after)), atol=atol)
