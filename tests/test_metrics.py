"Every measure against an independent implementation, closed forms, and its invariances."

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from acgan_nb import metrics
from acgan_nb.data import load
from acgan_nb.neighbours import density_coverage, neighbour_measures

RNG = np.random.default_rng(0)


def cloud(n, f, scale=1.0, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, f)) @ rng.standard_normal((f, f)) * scale + shift


def textbook_frechet(a, b):
    ca, cb = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)


# pairs of feature arrays: ordinary, far apart, tiny, badly scaled, float32
CLOUDS = {
    "ordinary": (cloud(500, 16), cloud(400, 16, seed=1)),
    "shifted": (cloud(500, 16), cloud(500, 16, shift=1e3, seed=2)),
    "small": (cloud(300, 8, scale=1e-4), cloud(300, 8, scale=2e-4, seed=3)),
    "scales": (cloud(600, 6) * 10.0 ** np.arange(6), cloud(600, 6, seed=4) * 10.0 ** np.arange(6)),
    "one feature": (cloud(50, 1), cloud(60, 1, seed=5)),
    "float32": (cloud(500, 16).astype("float32"), cloud(400, 16, seed=1).astype("float32")),
}


@pytest.mark.parametrize("a, b", CLOUDS.values(), ids=CLOUDS)
def test_frechet_distance_is_that_of_others(a, b):
    a64, b64 = np.float64(a), np.float64(b)
    ours = metrics.frechet_distance(a, b)
    np.testing.assert_allclose(ours, textbook_frechet(a64, b64), rtol=1e-8)
    fid = pytest.importorskip("torchmetrics.image.fid")
    import torch

    moments = [torch.tensor(m) for x in (a64, b64) for m in (x.mean(0), np.cov(x, rowvar=False))]
    moments = [m.reshape(1, 1) if m.ndim == 0 else m for m in moments]
    np.testing.assert_allclose(ours, fid._compute_fid(*moments).item(), rtol=1e-8)


def rotation(f, seed=9):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((f, f)))[0]


@pytest.mark.parametrize("n", [5, 20, 63, 65])
def test_frechet_distance_without_full_rank(n):
    "Ten features hidden in 64 by a rotation: the distance is that of the ten."
    a, b = cloud(n, 10), cloud(n + 3, 10, seed=1)
    hide = rotation(64)[:10]
    want = metrics.frechet_distance(a, b)
    np.testing.assert_allclose(metrics.frechet_distance(a @ hide, b @ hide), want, rtol=1e-8)
    np.testing.assert_allclose(want, exact_frechet(a, b), rtol=1e-8)


def exact_frechet(a, b):
    "By the nuclear norm of the centred data: no covariance, no square root."
    a0, b0 = a - a.mean(0), b - b.mean(0)
    a0, b0 = a0 / np.sqrt(len(a) - 1), b0 / np.sqrt(len(b) - 1)
    spread = (a0**2).sum() + (b0**2).sum() - 2 * np.linalg.norm(a0 @ b0.T, "nuc")
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + spread


def test_frechet_distance_of_constant_features():
    flat = np.full((10, 4), 3.0)
    assert metrics.frechet_distance(flat, flat) == 0
    assert metrics.frechet_distance(flat, flat + 2) == pytest.approx(16)
    assert metrics.frechet_distance(flat, cloud(50, 4)) > 0


def test_moments_do_not_depend_on_blocks():
    x = cloud(1001, 7)
    for block in (1, 13, 1000, 5000):
        mean, covariance = metrics.moments(x, block)
        np.testing.assert_allclose(mean, x.mean(0), rtol=1e-12)
        np.testing.assert_allclose(covariance, np.cov(x, rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("a, b", CLOUDS.values(), ids=CLOUDS)
def test_kernel_distance_is_that_of_torchmetrics(a, b):
    kid = pytest.importorskip("torchmetrics.image.kid")
    import torch

    n = min(len(a), len(b))
    ours = metrics.kernel_distance(a[:n], b[:n], subsets=1, subset_size=n)
    theirs = kid.poly_mmd(torch.tensor(np.float64(a[:n])), torch.tensor(np.float64(b[:n]))).item()
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_kernel_distance_is_unbiased():
    "Halves of one set: the mean over many draws is within its error of zero, on both sides of it."
    found = [metrics.kernel_distance(cloud(100, 4, seed=0)[:50], cloud(100, 4, seed=0)[50:], 1, 50)]
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.standard_normal((100, 4))
        found.append(metrics.kernel_distance(x[:50], x[50:], subsets=1, subset_size=50))
    found = np.array(found[1:])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))
    assert found.min() < 0 < found.max()


def test_inception_score_closed_forms():
    for k in (2, 10, 1000):
        certain = np.eye(k)[np.arange(3 * k) % k]
        assert metrics.inception_score(certain, groups=1)[0] == pytest.approx(k, rel=1e-10)
        assert metrics.inception_score(np.full((50, k), 1 / k))[0] == pytest.approx(1, rel=1e-10)
    p = 0.9 * np.eye(10)[np.arange(1000) % 10] + 0.01
    want = np.exp(0.91 * np.log(9.1) + 0.09 * np.log(0.1))
    assert metrics.inception_score(p, groups=1)[0] == pytest.approx(want, rel=1e-10)
    assert want == pytest.approx(6.06356, abs=5e-6)
    one_class = np.eye(10)[np.zeros(100, int)]
    assert metrics.inception_score(one_class)[0] == pytest.approx(1, rel=1e-10)


def test_inception_score_is_that_of_torchmetrics():
    module = pytest.importorskip("torchmetrics.image.inception")
    import torch

    logits = RNG.standard_normal((400, 10)) * 3
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    theirs = module.InceptionScore(feature=torch.nn.Identity(), splits=1).set_dtype(torch.float64)
    theirs.update(torch.tensor(logits))
    want = theirs.compute()[0].item()
    assert metrics.inception_score(p, groups=1)[0] == pytest.approx(want, rel=1e-10)


def test_groups_of_the_inception_score_are_random():
    "Sorted by class, ten plain slices would each lack nine of the ten classes and score 1."
    certain = np.eye(10)[np.repeat(np.arange(10), 100)]
    assert metrics.inception_score(certain, groups=10)[0] > 9


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("case", ["near", "far", "grid", "touching", "more fakes"])
def test_neighbour_measures_are_those_of_prdc(case, k):
    prdc = pytest.importorskip("prdc")
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), -1).reshape(-1, 3)
    real, fake = {
        "near": (cloud(200, 8), cloud(150, 8, seed=0, shift=0.3)),
        "far": (cloud(100, 8), cloud(100, 8, shift=100, seed=1)),
        "grid": (grid, grid[::2] + 0.25),  # many equal distances
        "touching": (grid, grid[grid[:, 0] == 4] + [1, 0, 0]),  # as far away as the balls reach
        "more fakes": (cloud(40, 3), cloud(500, 3, seed=2)),
    }[case]
    theirs = prdc.compute_prdc(real, fake, nearest_k=k)
    assert metrics.precision_recall(real, fake, k) == (theirs["precision"], theirs["recall"])
    want = theirs["density"], theirs["coverage"]
    assert density_coverage(real, fake, k) == pytest.approx(want, rel=1e-12)


def test_neighbour_measures_in_blocks():
    import sklearn

    real, fake = cloud(700, 8), cloud(600, 8, seed=1)
    whole = neighbour_measures(real, fake)
    assert 0 < min(whole.values()) and list(whole) == ["precision", "recall", "density", "coverage"]
    with sklearn.config_context(working_memory=1):  # MiB
        assert neighbour_measures(real, fake) == whole


@given(st.integers(2, 30), st.integers(0, 99), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_pairs_are_of_one_class_and_never_twice_the_same(members, percent, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(3), members))
    possible = members * (members - 1) // 2
    first, second = metrics.within_class_pairs(labels, max(1, possible * percent // 99), seed)
    for k, (i, j) in enumerate(zip(first, second)):
        assert (labels[i] == k).all() and (labels[j] == k).all() and (i != j).all()
        assert len({frozenset(pair) for pair in zip(i.tolist(), j.tolist())}) == len(i)


def images(n, size, channels=3, seed=0):
    "Blurred noise at several scales, and a noisy copy of it: pairs from very like to unlike."
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 8, 8, channels)).astype("float32")
    smooth = np.asarray(tf.image.resize(coarse, (size, size), "bicubic"))
    noise = rng.normal(0, 1, smooth.shape) * np.linspace(1, 90, n)[:, None, None, None]
    return [np.clip(x, 0, 255).astype("uint8") for x in (smooth, smooth + noise)]


@pytest.mark.parametrize("size, channels", [(161, 3), (176, 1), (192, 3), (203, 1)])
def test_ms_ssim_is_that_of_tensorflow(size, channels):
    x, y = images(6, size, channels)
    theirs = tf.image.ssim_multiscale(tf.constant(x), tf.constant(y), 255).numpy()
    np.testing.assert_allclose(metrics.ms_ssim(x, y, "tensorflow"), theirs, atol=1e-4)
    unlike = x[::-1].copy()
    theirs = tf.image.ssim_multiscale(tf.constant(x), tf.constant(unlike), 255).numpy()
    np.testing.assert_allclose(metrics.ms_ssim(x, unlike, "tensorflow"), theirs, atol=1e-4)


@pytest.mark.parametrize("size", [11, 32, 160])
def test_single_scale_ssim_is_that_of_tensorflow(size):
    x, y = images(6, size)
    theirs = tf.image.ssim(tf.constant(x), tf.constant(y), 255).numpy()
    np.testing.assert_allclose(metrics.ms_ssim(x, y, "tensorflow"), theirs, atol=1e-4)


@pytest.mark.parametrize("size", [176, 192])
@pytest.mark.parametrize("mode", ["paper", "tensorflow"])
def test_ms_ssim_is_that_of_pytorch_msssim(size, mode):
    "One channel, where averaging over channels first or last is the same."
    theirs = pytest.importorskip("pytorch_msssim")
    import torch

    x, y = images(6, size, 1)
    tensors = [torch.tensor(a).permute(0, 3, 1, 2).float() for a in (x, y)]
    want = theirs.ms_ssim(*tensors, data_range=255, size_average=False).numpy()
    np.testing.assert_allclose(metrics.ms_ssim(x, y, mode), want, atol=1e-4)


def naive_ms_ssim(x, y):
    "Window by window, for one pair of small images: the definition, with loops."
    weights, side, result = metrics._WEIGHTS, len(x), 1.0
    for scale, weight in enumerate(weights):
        window = min(11, side)
        i = np.arange(window) - (window - 1) / 2
        g = np.exp(-(i**2) / (2 * (1.5 * window / 11) ** 2))
        g = np.outer(g, g) / g.sum() ** 2
        terms = []
        for c in range(x.shape[2]):
            for top in range(side - window + 1):
                for left in range(side - window + 1):
                    u = x[top : top + window, left : left + window, c]
                    v = y[top : top + window, left : left + window, c]
                    mu, mv = (g * u).sum(), (g * v).sum()
                    su, sv = (g * (u - mu) ** 2).sum(), (g * (v - mv) ** 2).sum()
                    suv = (g * (u - mu) * (v - mv)).sum()
                    cs = (2 * suv + 7.65**2) / (su + sv + 7.65**2)
                    lum = (2 * mu * mv + 2.55**2) / (mu**2 + mv**2 + 2.55**2)
                    terms.append(cs * lum if scale == 4 else cs)
        result *= max(np.mean(terms), 0) ** weight
        if side % 2:
            x, y = (np.pad(a, [(0, 1), (0, 1), (0, 0)], mode="edge") for a in (x, y))
            side += 1
        x, y = (a.reshape(side // 2, 2, side // 2, 2, -1).mean((1, 3)) for a in (x, y))
        side //= 2
    return result


@pytest.mark.parametrize("size, channels", [(32, 3), (28, 1), (17, 1)])
def test_ms_ssim_of_small_images_is_the_definition(size, channels):
    x, y = images(4, size, channels)
    want = [naive_ms_ssim(np.float64(a), np.float64(b)) for a, b in zip(x, y)]
    np.testing.assert_allclose(metrics.ms_ssim(x, y), want, rtol=1e-9)


def test_ms_ssim_in_blocks():
    x, y = images(900, 32)
    whole = metrics.ms_ssim(x, y)
    parts = [metrics.ms_ssim(x[i : i + 1], y[i : i + 1])[0] for i in range(0, 900, 100)]
    np.testing.assert_allclose(whole[::100], parts, rtol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (10, 13, 3)])
def test_nearest_neighbours_are_those_of_brute_force(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (300, *shape)).astype("uint8")
    images[100:200] = images[:100] // 2 + 60  # smoother, so that bounds matter
    queries = np.concatenate([images[:5], rng.integers(0, 256, (20, *shape)).astype("uint8")])
    far = np.abs(queries[:, None].astype(int) - images[None]).sum(axis=(2, 3, 4))
    order = np.argsort(far, axis=1, kind="stable")[:, :4]
    for block in (7, 100):
        indices, distances = metrics.nearest_neighbours(queries, images, k=4, block=block)
        assert (indices == order).all()
        assert (distances == np.take_along_axis(far, order, axis=1)).all()


def test_nearest_neighbours_with_ties_and_all_of_them():
    same = np.zeros((5, 8, 8, 1), "uint8")
    indices, distances = metrics.nearest_neighbours(same[:2], same, k=5)
    assert (indices == np.arange(5)).all() and (distances == 0).all()


features = st.integers(0, 2**31).map(lambda seed: cloud(40, 5, seed=seed))


@settings(max_examples=25, deadline=None)
@given(features, features, st.integers(0, 2**31))
def test_distances_are_invariant_to_order_and_rotation(a, b, seed):
    rng = np.random.default_rng(seed)
    turn = rotation(5, seed)
    for measure in (
        metrics.frechet_distance,
        lambda x, y: metrics.kernel_distance(x, y, subsets=1, subset_size=40),
        lambda x, y: np.array(list(neighbour_measures(x, y).values())),
    ):
        want = measure(a, b)
        shuffled = measure(rng.permutation(a), rng.permutation(b))
        np.testing.assert_allclose(shuffled, want, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(measure(a @ turn, b @ turn), want, rtol=1e-6, atol=1e-9)
    assert metrics.frechet_distance(a, a) < 1e-9 * np.trace(np.cov(a, rowvar=False))
    forward, backward = metrics.frechet_distance(a, b), metrics.frechet_distance(b, a)
    np.testing.assert_allclose(forward, backward, rtol=1e-7, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 20), st.floats(0.1, 30))
def test_inception_score_is_between_one_and_k(seed, k, sharpness):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 1 / sharpness), 60)
    mean, std = metrics.inception_score(p, groups=3)
    assert 1 - 1e-9 <= mean <= k + 1e-9 and std >= 0
    whole = metrics.inception_score(p, groups=1)[0]
    assert metrics.inception_score(rng.permutation(p), groups=1)[0] == pytest.approx(whole)
    assert metrics.inception_score(p[:, ::-1], groups=1)[0] == pytest.approx(whole)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([8, 17, 32]))
def test_ms_ssim_is_symmetric_and_at_most_one(seed, size):
    x, y = images(3, size, seed=seed)
    found = metrics.ms_ssim(x, y)
    np.testing.assert_allclose(found, metrics.ms_ssim(y, x), rtol=1e-9)
    if size % 2 == 0:  # an odd size is padded at one end
        np.testing.assert_allclose(found, metrics.ms_ssim(x[:, ::-1], y[:, ::-1]), rtol=1e-9)
    np.testing.assert_allclose(metrics.ms_ssim(x, x), 1, rtol=1e-9)
    assert (found <= 1 + 1e-9).all() and (found >= 0).all()


DIGITS = load("digits")


def test_class_ms_ssim_ignores_other_classes_and_unlabelled_images():
    keep = DIGITS.labels < 3
    both = metrics.class_ms_ssim(DIGITS.images, np.where(keep, DIGITS.labels, -1))
    np.testing.assert_array_equal(both, metrics.class_ms_ssim(DIGITS.images, DIGITS.labels)[:3])


X, Y = images(4, 16)
GOOD, BAD_VALUE = cloud(20, 4), cloud(20, 4)
BAD_VALUE[3, 2] = np.nan
WRONG = {
    "widths": (lambda: metrics.frechet_distance(GOOD, GOOD[:, :3]), "same width, got 4 and 3"),
    "NaN": (lambda: metrics.frechet_distance(GOOD, BAD_VALUE), "second features contain NaN"),
    "NaN, kernel": (lambda: metrics.kernel_distance(BAD_VALUE, GOOD), "first features contain NaN"),
    "one row": (lambda: metrics.frechet_distance(GOOD[:1], GOOD), "N >= 2"),
    "flat": (lambda: metrics.precision_recall(GOOD[0], GOOD), "first features must be numbers"),
    "text": (lambda: metrics.frechet_distance(GOOD.astype(str), GOOD), "must be numbers"),
    "subset": (lambda: metrics.kernel_distance(GOOD, GOOD), "subset_size=1000, but there are 20"),
    "subsets": (lambda: metrics.kernel_distance(GOOD, GOOD, 0, 5), "subsets must be a whole"),
    "k": (lambda: metrics.precision_recall(GOOD, GOOD, 20), "k must be a whole number"),
    "k, density": (lambda: density_coverage(GOOD, GOOD, 20), "k must be a whole number"),
    "logits": (lambda: metrics.inception_score(GOOD), "non-negative and sum to 1"),
    "counts": (lambda: metrics.inception_score(np.eye(3, dtype=int)), "must be floats (N, K)"),
    "groups": (lambda: metrics.inception_score(np.eye(3), groups=4), "groups must be a whole"),
    "sizes": (lambda: metrics.ms_ssim(X, X[:, :8]), "pairs must have one shape"),
    "counts of pairs": (lambda: metrics.ms_ssim(X, X[:2]), "pairs must have one shape"),
    "range": (lambda: metrics.ms_ssim(X / 1.0, X), "float images must lie in [-1, 1]"),
    "mode": (lambda: metrics.ms_ssim(X, Y, "torch"), "mode must be one of"),
    "too small": (lambda: metrics.ms_ssim(X[:, :8, :8], X[:, :8, :8], "tensorflow"), "too small"),
    "missing class": (lambda: metrics.class_ms_ssim(X, [0, 0, 0, 2], 1), "class 1 has 0 images"),
    "few images": (lambda: metrics.class_ms_ssim(X, [0, 0, 1, 1]), "1 pairs; asked for 100"),
    "labels": (lambda: metrics.class_ms_ssim(X, [0, 1]), "labels must be (4,) class ids"),
    "neighbours": (lambda: metrics.nearest_neighbours(X, X[:, :8]), "queries are (16, 16, 3)"),
    "neighbours, k": (lambda: metrics.nearest_neighbours(X, X, k=5), "k must be a whole number"),
    "enlarged": (lambda: metrics.resolution_accuracy(X, [0] * 4, len, [17]), "size must be"),
    "path": (lambda: metrics.largest_step(X[:2]), "at least 3 images"),
    "shares": (lambda: metrics.diversity_and_accuracy([1, 2], [1], 1), "one value per class"),
    "control": (lambda: metrics.control("gauss", DIGITS, [0]), "control must be one of"),
    "empty class": (lambda: metrics.control("real", DIGITS, [-1]), "labels must be class ids, got -1"),
}


@pytest.mark.parametrize("call, text", WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_clear_line(call, text):
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value) and "\n" not in str(caught.value)
