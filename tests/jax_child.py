"""What test_jax.py runs in a process of its own: JAX, four virtual devices, and no TensorFlow.

Every check is a function that returns something JSON can hold; the parent judges it."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # what is compiled here runs a few times
    sys.modules["tensorflow"] = None  # importing it fails, as where it is not installed

import keras
import numpy as np

from tiny import ARCHITECTURES

from acgan_nb.augment import _augmented
from acgan_nb.data import Dataset, load
from acgan_nb.gan import ACGAN
from acgan_nb.devices import data_parallel, distribution_scope
from acgan_nb.loop import training_steps
from acgan_nb.models import build_discriminator, build_generator
from acgan_nb.runs import build_gan
from acgan_nb.train import fit

DIGITS = load("digits")
DATA = Dataset(DIGITS.images, DIGITS.labels, name="arrays")
TINY = dict(arch="tiny", batch_size=40, log_every=3, verbose=False)
AUGMENTED = dict(augment="color,translation,cutout", flip=True, **TINY)


def weights(gan):
    return np.concatenate([keras.ops.convert_to_numpy(w).ravel() for w in gan.trainable_weights])


def later_step(folder):
    "The same with spectral norm, ReACGAN's head, augmented images and the R1 penalty."
    numbers = np.random.default_rng(1).random((3, 20, 7)).astype("float32")

    def views(kinds, count, seed):  # the backends draw other numbers
        return [partial(_augmented, numbers=n, kinds=kinds) for n in numbers]

    with patch("acgan_nb.gan.views", views):
        game = dict(augment="color,translation,cutout", r1=0.5)
        return one_step(folder, "d2d_ce", game, spectral_norm=True)


def one_step(folder, class_head="acgan", game={}, **layers):
    "One step without dropout or noise, from given weights and inputs: all weights and the logs."
    rows = ARCHITECTURES["tiny"]
    still = tuple(row._replace(dropout=0) for row in rows.discriminator)
    ARCHITECTURES["still"] = rows._replace(discriminator=still)
    d = build_discriminator("still", class_head=class_head, **layers)
    gan = ACGAN(build_generator("still"), d)
    gan.compile(*(keras.optimizers.SGD(0.1) for _ in range(2)), **game)
    rng = np.random.default_rng(0)
    for w in gan.weights:
        if "moving_variance" not in w.path and "iteration" not in w.path:
            w.assign(rng.normal(0, 0.2, w.shape))
    gan.ema_generator.set_weights(gan.generator.get_weights())
    z, fake_labels = rng.normal(size=(20, 100)).astype("float32"), np.arange(20) % 10
    gan.draw = lambda count: tuple(map(keras.ops.convert_to_tensor, (z, fake_labels)))
    labels = np.where(np.arange(20) < 15, DATA.labels[:20], -1)
    logs = gan.train_on_batch(DATA.images[:20], labels, return_dict=True)
    np.savez(folder / f"{keras.backend.backend()}.npz", *gan.get_weights())
    return {name: float(value) for name, value in logs.items()}


def resumed(folder):
    "Six steps at once, and three and three with a checkpoint in between: how far apart."
    run = {}
    for name, parts, most in (("whole", [6], 1), ("halves", [3, 6], 1), ("portions", [6], 4)):
        for steps in parts:
            options = dict(steps=steps, steps_per_execution=most, **AUGMENTED)
            run[name] = fit(DATA, outdir=folder / name, **options)
    whole = weights(run["whole"].gan)
    sample = run["whole"].sample(3, count=2)
    return {
        "halves": float(abs(weights(run["halves"].gan) - whole).max()),
        "portions": distance(weights(run["portions"].gan), whole, run["whole"].config),
        "history": run["halves"].history["d_loss"] == run["whole"].history["d_loss"],
        "files": sorted(p.name for p in (folder / "whole").iterdir() if p.name[0] != "."),
        "sample": sample.tolist(),
        "backend": list(run["whole"].config["versions"]),
    }


def parallel(folder):
    "Five steps on one device and shared by four: distance of the ends over the way, and where."
    ends, places = {}, {}
    for devices in (1, 4):
        run = fit(DATA, steps=5, devices=devices, **TINY)
        ends[devices] = weights(run.gan)
        places[devices] = {len(v.value.sharding.device_set) for v in run.gan.trainable_weights}
    far = distance(ends[4], ends[1], run.config)
    return {"far": far, "devices": [sorted(p) for p in places.values()]}


def distance(one, other, config):
    "How far apart two ends are, over the way from the start."
    way = np.linalg.norm(other - weights(build_gan(config)))
    return float(np.linalg.norm(one - other) / way)


def compilations(folder):
    "How often the step is compiled in calls of several lengths."
    found = []
    for devices, most, resident in ((1, 1, True), (1, 3, False), (2, 3, True)):
        distribution = data_parallel(devices)
        with distribution_scope(distribution):
            gan = ACGAN(build_generator("tiny"), build_discriminator("tiny"))
            gan.compile()
        options = dict(steps_per_call=most, resident=resident, distribution=distribution)
        advance = training_steps(gan, DATA, 40, **options)
        for count in (most, 1, most):
            advance(count)
        found.append(advance.compiled._cache_size())
    return found


def keras_fit(folder):
    "Keras' own fit, and saving: history, and the samples of the model before and after."
    from acgan_nb.data import batches

    gan = ACGAN(build_generator("tiny"), build_discriminator("tiny", activation_noise=0.1))
    gan.compile()
    options = dict(steps_per_epoch=4, epochs=2, shuffle=False, verbose=0)
    history = gan.fit(batches(DATA, 40), **options).history
    gan.save(folder / "gan.keras")
    again = keras.models.load_model(folder / "gan.keras")
    z, labels = np.ones((3, 100), "float32"), np.arange(3)
    before, after = (np.asarray(m([z, labels])) for m in (gan, again))
    state = [np.asarray(v.value) for v in (*gan.weights, *gan.d_optimizer.variables)]
    evaluate = partial(gan.evaluate, steps=2, verbose=0, return_dict=True)
    validation = [evaluate(batches(DATA, 40)) for _ in range(2)]
    now = [np.asarray(v.value) for v in (*gan.weights, *gan.d_optimizer.variables)]
    slots = [len(m.d_optimizer.variables) for m in (gan, again)]
    same = [
        np.array_equal(a.value, b.value)
        for a, b in zip(gan.d_optimizer.variables, again.d_optimizer.variables)
    ]
    return {
        "d_loss": history["d_loss"],
        "same": bool(np.array_equal(before, after)),
        "d_optimizer": [*slots, all(same), int(gan.d_optimizer.iterations)],
        "validation": validation,
        "unchanged": all(map(np.array_equal, state, now)),
    }


def judge_rates(folder):
    "The learning rate of the last step of a judge's training, and those of its schedule."
    from acgan_nb import classifier

    recipe = classifier.Recipe("digits", 8, (), steps=4)
    classifier.train_judge(DATA, recipe)
    _, together = classifier._classifiers(1, 8, 1, 10, recipe.widths, recipe.weight_decay)
    rates = classifier._learning_rates(recipe.learning_rates[-1], recipe.steps)
    return {"last": float(together.optimizer.learning_rate), "rates": rates.tolist()}


def zero_embedding(folder):
    "Whether an embedding of zero stays zero and has a finite gradient."
    import jax

    from acgan_nb.heads import _unit

    zeros = np.zeros((2, 3), "float32")
    gradient = jax.grad(lambda x: (_unit(x) * np.float32([1, 2, 3])).sum())(zeros)
    return [bool((np.asarray(_unit(zeros)) == 0).all()), bool(np.isfinite(gradient).all())]


def errors(folder):
    found = []
    for options in (dict(devices=3), dict(devices=5), dict(devices=0)):
        try:
            fit(DATA, steps=1, **TINY, **options)
        except ValueError as error:
            found.append(str(error))
    try:
        load("mnist")
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        (folder / name).mkdir(exist_ok=True)
        print(json.dumps({name: globals()[name](folder / name)}), flush=True)
