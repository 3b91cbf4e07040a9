"""What test_devices.py runs in processes of its own: TensorFlow on two virtual devices, JAX in two
processes.

Every check is a function that returns something JSON can hold; the parent judges it."""

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__" and os.environ.get("KERAS_BACKEND") == "jax":
    sys.modules["tensorflow"] = None  # it is not needed, and takes long to import

import keras
import numpy as np
from jax_child import ARCHITECTURES, DATA, DIGITS, TINY, weights

import acgan_nb.train
from acgan_nb.data import Dataset
from acgan_nb.gan import LOGS
from acgan_nb.classifier import Judge, judge_network
from acgan_nb.devices import data_parallel, distribution_scope, join_processes, process_count, process_index
from acgan_nb.loop import training_steps
from acgan_nb.runs import build_gan, load_run
from acgan_nb.sampling import draw_latents, generate
from acgan_nb.train import check_fit, fit

ROWS = ARCHITECTURES["tiny"]
STILL = tuple(row._replace(dropout=0) for row in ROWS.discriminator)
ARCHITECTURES["still"] = ROWS._replace(discriminator=STILL)
# On one device and on several the same: no dropout and no noise, which devices draw by themselves.
SAME = {**TINY, "arch": "still", "activation_noise": 0.0}
# The halves of a batch have unequally many unlabelled images.
SOME = Dataset(DIGITS.images, np.where(np.arange(len(DIGITS)) % 7 < 5, DIGITS.labels, -1))


def steps_with_sgd(devices, counts=(1,) * 5, sgd=(), **switches):
    "Five steps in so many calls: all weights then, the logs, and how often a step was traced."
    distribution = data_parallel(devices, 40)
    with distribution_scope(distribution):
        gan = build_gan(configuration(**switches))
        game = dict(gan.game)
        gan.compile(*(keras.optimizers.SGD(0.1, **dict(sgd)) for _ in range(2)), **game)
    if distribution and switches.get("synchronized_batch_norm", True):
        gan.synchronize()
    advance = training_steps(gan, SOME, 40, steps_per_call=max(counts), distribution=distribution)
    logs = [advance(count) for count in counts][-1]
    traced = advance.compiled.experimental_get_tracing_count()
    return values(gan), logs, traced


def configuration(**switches):
    "The configuration of `fit` with these switches."
    return check_fit(SOME, **{**SAME, "steps": 100, **switches}).config


def same_steps(folder):
    "How far two devices end from one, over the way they went, and their logs."
    clipped = dict(sgd={"global_clipnorm": 0.5}, label_input="embedding")
    one, logs, _ = steps_with_sgd(1, **clipped)
    start = values(build_gan(configuration(label_input="embedding")))
    found = {}
    for name, switch, counts in (("whole batch", True, (2, 1, 2)), ("per device", False, [1] * 5)):
        options = dict(synchronized_batch_norm=switch, **clipped)
        two, shared, traced = steps_with_sgd(2, counts, **options)
        far = float(np.linalg.norm(two - one) / np.linalg.norm(one - start))
        off = max(abs(shared[k] - logs[k]) / abs(logs[k]) for k in LOGS)
        norms = [logs[k] for k in ("d_gradient", "g_gradient")]
        found[name] = dict(far=far, logs=off, traced=traced, norms=norms)
    return found


def values(gan):
    return np.concatenate([w.ravel() for w in gan.get_weights()])


def randomness(folder):
    "What the devices draw by themselves, and what they draw together."
    import tensorflow as tf

    distribution = data_parallel(2, 40)
    with distribution_scope(distribution):
        gan = build_gan(configuration() | {"arch": "tiny"})
        layers = gan.discriminator.layers
        dropout = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)][0]

        def draw():
            gan.set_randomness(3)
            return dropout(tf.ones((1, 100)), training=True), *gan.draw(8)

        drawn = tf.function(distribution.run)(draw)
    both = map(distribution.experimental_local_results, drawn)
    (mask, other), z, labels = ([v.numpy() for v in parts] for parts in both)
    gan.set_randomness(3)
    together = [keras.ops.convert_to_numpy(v) for v in gan.draw(8)]
    own = keras.ops.convert_to_numpy(dropout(tf.ones((1, 100)), training=True))
    several = generate(gan.generator, draw_latents(2_600, gan.latent_dim), np.arange(2_600) % 3)
    return {
        "samples": len(several),  # in more than four batches
        "masks differ": bool((mask != other).any()),
        "the first is one device's": bool((mask == own).all()),
        "shares": [len(part) for part in z],
        "draws": [bool((np.concatenate(p) == t).all()) for p, t in zip((z, labels), together)],
    }


class Crash(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(keras.ops.convert_to_numpy(self.model.g_optimizer.iterations)) == 5:
            raise RuntimeError("as if the power had gone")


def resumed(folder):
    "Nine steps on one device; and a run that crashes on two and goes on on one, then on two again."
    options = {**SAME, "data": SOME, "save_every": 4, "evaluate_every": 3}
    whole = fit(steps=9, **options)
    options["outdir"] = folder / "run"
    try:
        fit(steps=9, devices=2, callbacks=[Crash()], **options)
    except RuntimeError:
        fit(steps=6, devices=1, **options)
    else:
        raise AssertionError("it did not crash")
    run = fit(steps=9, devices=2, **options)
    sample, again = (r.sample(3, count=2).tolist() for r in (run, load_run(folder / "run")))
    histories = [r.history | {"seconds": []} for r in (whole, run)]
    return {"histories": histories, "sample": sample == again}


def exact(folder):
    "With dropout and noise: six steps on two devices, and the last three of them once more."
    options = dict(steps=6, devices=2, save_every=3, outdir=folder / "run", **TINY)
    whole = fit(DATA, **options)
    (folder / "run" / "checkpoint").unlink()  # the one before is of step 3
    again = fit(DATA, **options)
    return float(abs(weights(whole.gan) - weights(again.gan)).max())


def errors(folder):
    found = []
    for options in (dict(devices=3), dict(devices=2, batch_size=41)):
        try:
            fit(DATA, steps=1, **{**TINY, **options})
        except ValueError as error:
            found.append(str(error))
    return found


def together(folder):
    "A run of five steps in which every process takes part, resumed to eight; and evaluated."
    options = {**SAME, "devices": 2, "outdir": folder / "run", "evaluate_every": 4}
    for steps in (5, 8):
        run = fit(DATA, steps=steps, save_every=2, **options)
    found = {"process": [process_index(), process_count()], "history": run.history | {"seconds": []}}
    if process_index() == 0:  # alone
        found["sample"] = run.sample(3, count=2).tolist()
    np.save(folder / f"weights{process_index()}.npy", weights(run.gan))
    found["files"] = sorted(p.name for p in (folder / "run").iterdir() if p.name[0] != ".")
    return found


def refused(folder):
    try:
        fit(DATA, steps=1, synchronized_batch_norm=False, **{**SAME, "devices": 2})
    except ValueError as error:
        return str(error)


def occupied(folder):
    "The first process cannot write to the run directory; the others must not wait for it."
    (folder / "file").touch()
    try:
        fit(DATA, steps=1, outdir=folder / "file", **{**SAME, "devices": 2})
    except (OSError, ValueError) as error:
        return [type(error).__name__, str(error)]


def untrained_judge(data, folder):
    keras.utils.set_random_seed(0)
    return Judge("untrained", judge_network(8, 1, 10, (4, 4)), False, {})


if __name__ == "__main__":
    join_processes()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})  # graphs that run a few times
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    acgan_nb.train.judge_for = untrained_judge  # training one takes longer than all of this
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        (folder / name).mkdir(exist_ok=True)
        print(json.dumps({name: globals()[name](folder / name)}), flush=True)
