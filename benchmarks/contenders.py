"""What is measured: functions that work for ever and call `tick` after each piece of work.

Each runs in a process of its own, so each imports its own framework."""

import math
import os
import re
import tempfile
import time

import numpy as np


def arrays(arch="cifar10", num_classes=10, count=5000, path=None, seed=0):
    "uint8 images (N, H, W, C) and labels (N,): from an .npz file, or random ones."
    if path:
        with np.load(path) as file:
            names = ("images", "labels") if "images" in file else ("x_train", "y_train")
            images, labels = (file[name] for name in names)
        return images, labels.astype("int32").ravel()
    from acgan_nb.models import architecture_of

    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *architecture_of(arch).image_shape), "uint8")
    return images, (np.arange(count) % num_classes).astype("int32")


def images_needed(batch_size, num_classes):
    return max(5000, 2 * batch_size, num_classes)


def step_callback(tick):
    "Reports the steps that were done since the last call."
    import keras

    class Tick(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.step = int(self.model.g_optimizer.iterations)

        def on_train_batch_end(self, batch, logs=None):
            float(logs["g_loss"])  # it has been computed
            step = int(self.model.g_optimizer.iterations)
            tick(step - self.step)
            self.step = step

    return Tick()


def ours_fit(tick, *, arch="cifar10", batch_size=100, num_classes=10, noise=0.1, bf16=False,
             path=None, outdir=False, save_every=None, log_every=50):
    "`train.fit`, with its data, logs and callbacks; with `outdir` it writes a run directory."
    from acgan_nb.train import fit

    data = arrays(arch, num_classes, images_needed(batch_size, num_classes), path)
    how = dict(batch_size=batch_size, activation_noise=noise, mixed_precision=bf16)
    how |= dict(arch=arch, steps=10**9, verbose=False, save_minutes=1e6, log_every=log_every)
    with tempfile.TemporaryDirectory() as folder:
        kept = dict(outdir=folder, save_every=save_every) if outdir else {}
        fit(data, callbacks=[step_callback(tick)], **how, **kept)


def fit_without_onednn(tick, **settings):
    "The same on the convolutions that TensorFlow takes by itself where the CPU lacks AVX-512 VNNI."
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    ours_fit(tick, **settings)


def plain_keras():
    "From here on networks have Keras' own batch norm and dropout, and Keras' own Adam trains them."
    import keras

    from acgan_nb import gan, models

    models.BatchNormalization = keras.layers.BatchNormalization
    models.Dropout = keras.layers.Dropout
    gan.Adam = keras.optimizers.Adam


def fit_of_plain_keras(tick, **settings):
    "`train.fit` without the package's own kernels."
    plain_keras()
    ours_fit(tick, **settings)


def our_gan(arch, batch_size, num_classes, noise, bf16=False):
    "A compiled, untrained model: that of a `fit` of no account."
    from acgan_nb.runs import build_gan
    from acgan_nb.settings import Settings, recorded

    images, _ = arrays(arch, num_classes, 1)
    config = dict(arch=arch, image_shape=list(images.shape[1:]), activation_noise=noise, seed=0)
    config |= dict(class_names=[str(k) for k in range(num_classes)], latent_dim=100, ema=0.999)
    config |= dict(learning_rate=2e-4, d_learning_rate=2e-4, beta_1=0.5, steps=10**6)
    return build_gan(recorded(Settings(mixed_precision=bf16)) | config)


def ours_bare(tick, *, arch="cifar10", batch_size=100, num_classes=10, noise=0.1, bf16=False):
    "The compiled training step alone, again and again on the same images (TensorFlow)."
    import tensorflow as tf

    gan = our_gan(arch, batch_size, num_classes, noise, bf16)
    images, labels = arrays(arch, num_classes, batch_size)
    batch = tf.constant(images), tf.constant(labels)
    step = tf.function(lambda: gan.train_step(batch)["g_loss"])
    while True:
        float(step())
        tick()


def tensorflow_matmul(tick, size=4096):
    "A product of two square float32 matrices."
    import tensorflow as tf

    a, b = (tf.random.normal((size, size)) for _ in range(2))
    product = tf.function(lambda: tf.reduce_sum(tf.linalg.matmul(a, b)[0]))
    while True:
        float(product())
        tick()


def tensorflow_products(tick, *, arch="cifar10", batch_size=100, num_classes=10, noise=0.0):
    """The convolutions and matrix products of a step, forward and backward, and nothing else.

    No noise, dropout, normalisation, nonlinearity or optimiser: what is left of G and D is linear."""
    import keras
    import tensorflow as tf

    gan = our_gan(arch, batch_size, num_classes, noise)
    kinds = keras.layers.Dense, keras.layers.Conv2D, keras.layers.Conv2DTranspose
    kinds += keras.layers.Reshape, keras.layers.Flatten, keras.layers.Cropping2D
    g, d = (
        keras.Sequential([layer for layer in net.layers if isinstance(layer, kinds)])
        for net in (gan.generator, gan.discriminator)
    )
    z = tf.random.normal((batch_size, gan.latent_dim + num_classes))
    real = tf.random.normal((batch_size, *gan.discriminator.input_shape[1:]))

    @tf.function
    def step():
        with tf.GradientTape() as to_g:
            fake = g(z)
        with tf.GradientTape() as to_d:
            total = tf.reduce_sum(d(real)) + tf.reduce_sum(d(fake))
        again = fake / 2  # or TensorFlow would see that it knows D's outputs already
        with tf.GradientTape(watch_accessed_variables=False) as to_fake:
            to_fake.watch(again)
            judged = tf.reduce_sum(d(again))
        gradients = to_d.gradient(total, d.trainable_variables)
        back = to_fake.gradient(judged, again)
        gradients += to_g.gradient(fake, g.trainable_variables, back)
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    while True:
        float(step())
        tick()


def shuffled(count, batch_size, torch, device):
    "Endless batches of indices, every epoch in a new order."
    while True:
        order = torch.randperm(count, device=device)
        yield from order[: count // batch_size * batch_size].split(batch_size)


def torch_loop(tick, *, arch="cifar10", batch_size=100, num_classes=10, noise=0.1, path=None,
               compiled=False, channels_last=False, bf16=False, device="cpu", tf32=True):
    "A plain PyTorch loop; with `compiled`, G and D go through `torch.compile`."
    os.environ["KERAS_BACKEND"] = "torch"  # the tables are read; no other framework is started
    import torch
    from torch_nets import Trainer

    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.manual_seed(0)
    data = arrays(arch, num_classes, images_needed(batch_size, num_classes), path)
    images = torch.tensor(data[0]).permute(0, 3, 1, 2).contiguous().to(device)
    labels = torch.tensor(data[1], dtype=torch.int64).to(device)
    how = dict(channels_last=channels_last, bf16=bf16, device=device, noise=noise)
    trainer = Trainer(arch, num_classes, **how)
    if compiled:
        trainer.g, trainer.d = torch.compile(trainer.g), torch.compile(trainer.d)
    tick.sync = torch.cuda.synchronize if device != "cpu" else None
    for step, index in enumerate(shuffled(len(images), batch_size, torch, device)):
        losses = trainer.step(images[index], labels[index])
        if device == "cpu" or step % 50 == 0:  # a GPU is not waited for in every step
            values = [loss.item() for loss in losses]
            if not all(map(math.isfinite, values)):
                raise FloatingPointError(f"the losses are {values}")
        tick()


def classic_models(arch, num_classes, noise, jit_compile):
    "D with two compiled losses, and G under a D that it does not train."
    import keras

    from acgan_nb.gan import adam
    from acgan_nb.models import build_discriminator, build_generator

    g = build_generator(arch, num_classes)
    logits = build_discriminator(arch, num_classes, activation_noise=noise)
    source, classes = logits.output
    heads = [keras.layers.Activation("sigmoid")(source), keras.layers.Softmax()(classes)]
    d = keras.Model(logits.input, heads)
    combined = keras.Model(g.input, d(g.output))
    how = dict(loss=["binary_crossentropy", "sparse_categorical_crossentropy"])
    for model in (d, combined):
        model.compile(optimizer=adam(), jit_compile=jit_compile, **how)
    return g, d, combined


def frozen(weights, yes):
    for weight in weights:
        weight.trainable = not yes


def classic_loop(tick, *, arch="cifar10", batch_size=100, num_classes=10, noise=0.1,
                 jit_compile="auto"):
    """The loop of most Keras GANs: predict, train D on real and generated, train D after G.

    One update of D and one of G per step, as in ours. G runs twice; no average of it is kept.
    D's weights are frozen one by one: its batch normalisation goes on using the batch."""
    g, d, combined = classic_models(arch, num_classes, noise, jit_compile)
    images, labels = arrays(arch, num_classes, images_needed(batch_size, num_classes))
    rng, weights = np.random.default_rng(0), d.trainable_variables
    truth = np.repeat([1.0, 0.0], batch_size).astype("float32")
    while True:
        index = rng.integers(0, len(images), batch_size)
        real = images[index].astype("float32") / 127.5 - 1
        z = rng.standard_normal((batch_size, 100), "float32")
        wanted = rng.integers(0, num_classes, batch_size).astype("int32")
        fake = g.predict_on_batch([z, wanted])
        targets = [truth, np.concatenate([labels[index], wanted])]
        frozen(weights, False)
        d.train_on_batch(np.concatenate([real, fake]), targets)
        frozen(weights, True)
        combined.train_on_batch([z, wanted], [truth[:batch_size], wanted])
        tick()


def rest(tick, *, seconds=0.01, pieces=None):
    "Sleeps: to see what the turns themselves cost. Fails after so many pieces, if asked."
    done = 0
    while done != pieces:
        time.sleep(seconds)
        tick(value=seconds)
        done += 1
    raise RuntimeError(f"{pieces} pieces done")


KINDS = {  # of operations of a step's graph, by the first that is part of the name
    "convolutions": ("conv2d", "matmul"),
    "batch norm": ("batch_norm", "batchnorm"),
    "dropout": ("dropout", "random"),
    "optimiser": ("adam",),
}


def kind_of(name, operation):
    "What an operation of the graph is for: convolutions by its type, others by the layer it is in."
    if any(part in operation.lower() for part in KINDS["convolutions"]):
        return "convolutions"
    names = f"{name}:{operation}".lower()
    others = list(KINDS)[1:]
    return next((kind for kind in others if any(p in names for p in KINDS[kind])), "rest")


def traced_step(pipe, plain, steps=5, bf16=False, arch="cifar10", batch_size=100, num_classes=10, noise=0.0):
    "Send {kind: seconds per step} of all threads, from TensorFlow's profiler, and the step's own time."
    import glob

    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    if plain:
        plain_keras()
    gan = our_gan(arch, batch_size, num_classes, noise, bf16)
    images, labels = arrays(arch, num_classes, batch_size)
    batch = tf.constant(images), tf.constant(labels)
    step = tf.function(lambda: gan.train_step(batch)["g_loss"], autograph=False)
    for _ in range(4):
        float(step())
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(steps):
                float(step())
            wall = (time.perf_counter() - began) / steps
        [path] = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        with open(path, "rb") as file:
            space = xplane_pb2.XSpace.FromString(file.read())
    found = dict.fromkeys([*KINDS, "rest"], 0.0)
    for plane in space.planes:
        for event in (e for line in plane.lines for e in line.events):
            name, _, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
            if name and not re.search(r"^\$|::|__inference", f"{name}:{operation}"):  # no Python, no frames
                found[kind_of(name, operation)] += event.duration_ps / 1e12 / steps
    pipe.send(dict(step=wall, **found))
