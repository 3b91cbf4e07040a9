"""Each measure of `acgan_nb.metrics`, and another implementation of it, on the same input."""

import numpy as np


def features(count, width):
    rng = np.random.default_rng(0)
    turn = rng.standard_normal((width, width)) / np.sqrt(width)
    return [rng.standard_normal((count, width)) @ turn + shift for shift in (0, 0.1)]


def pairs(count, size):
    "Smooth images and noisy copies of them, uint8 (N, size, size, 1)."
    from acgan_nb.sources import resize

    rng = np.random.default_rng(0)
    smooth = resize(rng.integers(0, 256, (count, 8, 8, 1)).astype("uint8"), size)
    noisy = smooth + rng.normal(0, 20, smooth.shape)
    return smooth, np.clip(noisy, 0, 255).astype("uint8")


def input_size(name, quick=False):
    "Numbers and sizes of what a measure gets."
    sizes = dict(
        frechet=(500, 16) if quick else (10_000, 512),
        kernel=(200, 16) if quick else (5_000, 2_048),
        inception=2_000 if quick else 50_000,
        precision=(200, 8) if quick else (5_000, 192),
        similarity=(4, 176) if quick else (100, 192),
        neighbours=(100, 8) if quick else (5_000, 32),
    )
    return sizes[name]


def our_metric(name, quick):
    "A measure of the package, ready to be called."
    from acgan_nb import metrics

    size = input_size(name, quick)
    if name == "frechet":
        a, b = features(*size)
        return lambda: metrics.frechet_distance(a, b)
    if name == "kernel":
        a, b = features(*size)
        return lambda: metrics.kernel_distance(a, b, 10, min(1000, size[0]))
    if name == "inception":
        p = probabilities(size)
        return lambda: metrics.inception_score(p, groups=1)[0]
    if name == "precision":
        a, b = features(*size)
        return lambda: metrics.precision_recall(a, b)[0]
    if name == "similarity":
        x, y = pairs(*size)
        return lambda: float(metrics.ms_ssim(x, y, "tensorflow").mean())
    images, queries = neighbour_images(*size)
    return lambda: int(metrics.nearest_neighbours(queries, images, 5)[1].sum())


def probabilities(count):
    return np.random.default_rng(0).dirichlet(np.full(10, 0.3), count)


def neighbour_images(count, size):
    smooth, noisy = pairs(count, size)
    return smooth, noisy[:100]


def oracle_frechet(size):
    import torch
    from torchmetrics.image.fid import _compute_fid

    def call():
        moments = [(x.mean(0), torch.cov(x.T)) for x in map(torch.tensor, data)]
        return _compute_fid(*moments[0], *moments[1]).item()

    data = features(*size)
    return call


def textbook_frechet(size):
    from scipy.linalg import sqrtm

    def call():
        cov_a, cov_b = (np.cov(x, rowvar=False) for x in (a, b))
        root = sqrtm(cov_a @ cov_b).real
        return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root))

    a, b = features(*size)
    return call


def oracle_kernel(size):
    import torch
    from torchmetrics.image.kid import poly_mmd

    def call():
        n, rng, found = min(1000, size[0]), np.random.default_rng(0), []
        for _ in range(10):
            chosen = [x[rng.choice(len(x), n, replace=False)] for x in data]
            found.append(poly_mmd(*map(torch.tensor, chosen)).item())
        return float(np.mean(found))

    data = features(*size)
    return call


def oracle_inception(size):
    import torch
    from torchmetrics.image.inception import InceptionScore

    score = InceptionScore(feature=torch.nn.Identity(), splits=1).set_dtype(torch.float64)
    logits = torch.tensor(np.log(np.maximum(probabilities(size), 1e-300)))

    def call():
        score.reset()
        score.update(logits)
        return score.compute()[0].item()

    return call


def oracle_precision(size):
    from prdc import compute_prdc

    a, b = features(*size)
    return lambda: float(compute_prdc(a, b, nearest_k=3)["precision"])


def oracle_similarity(size):
    import tensorflow as tf

    x, y = map(tf.constant, pairs(*size))
    return lambda: float(tf.reduce_mean(tf.image.ssim_multiscale(x, y, 255)))


def torch_similarity(size):
    import torch
    from pytorch_msssim import ms_ssim

    x, y = (torch.tensor(a).permute(0, 3, 1, 2).float() for a in pairs(*size))
    return lambda: ms_ssim(x, y, data_range=255).item()


def oracle_neighbours(size):
    from sklearn.neighbors import NearestNeighbors

    images, queries = (x.reshape(len(x), -1).astype("float64") for x in neighbour_images(*size))
    search = NearestNeighbors(n_neighbors=5, algorithm="brute", metric="manhattan").fit(images)
    return lambda: int(search.kneighbors(queries)[0].sum())


ORACLES = {  # our measure, its oracle, what both are
    "torchmetrics": ("frechet", oracle_frechet, "Fréchet distance"),
    "scipy's sqrtm": ("frechet", textbook_frechet, "Fréchet distance"),
    "torchmetrics, KID": ("kernel", oracle_kernel, "kernel distance, 10 subsets"),
    "torchmetrics, IS": ("inception", oracle_inception, "Inception score"),
    "prdc": ("precision", oracle_precision, "precision and recall"),
    "TensorFlow": ("similarity", oracle_similarity, "MS-SSIM"),
    "pytorch-msssim": ("similarity", torch_similarity, "MS-SSIM"),
    "scikit-learn": ("neighbours", oracle_neighbours, "nearest neighbours by L1"),
}


def metric(tick, *, name, oracle=None, quick=False):
    "A measure of ours or, with `oracle`, the other implementation of it."
    size = input_size(name, quick)
    call = ORACLES[oracle][1](size) if oracle else our_metric(name, quick)
    while True:
        tick(value=call())
