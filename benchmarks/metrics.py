"""How long the measures take at the sizes people use, and how much memory: one table.

    python benchmarks/metrics.py              # random features and images
    python benchmarks/metrics.py --real       # neighbours among CIFAR-10 images, loaded by TFDS
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

from acgan_nb import metrics


def frechet(real):
    "Fréchet distance of two times 50,000 x 2,048 features"
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((50_000, 2_048), "float32") for _ in range(2))
    return lambda: metrics.frechet_distance(a, b)


def kernel(real):
    "Kernel distance, 100 subsets of 1,000 of the same features"
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((50_000, 2_048), "float32") for _ in range(2))
    return lambda: metrics.kernel_distance(a, b)


def neighbours(real):
    "L1 neighbours of 1,000 images among 50,000 of 32x32x3"
    if real:
        from acgan_nb.data import load

        images, queries = load("cifar10").images, load("cifar10", "test").images[:1000]
    else:
        import tensorflow as tf

        rng = np.random.default_rng(0)  # smooth images, as photographs are
        coarse = rng.integers(0, 256, (51_000, 8, 8, 3)).astype("float32")
        parts = [tf.image.resize(part, (32, 32)) for part in np.split(coarse, 51)]
        smooth = np.concatenate([np.asarray(part).astype("uint8") for part in parts])
        images, queries = smooth[:50_000], smooth[50_000:]
    return lambda: metrics.nearest_neighbours(queries, images)


def similarity(real):
    "MS-SSIM of 100 pairs in each of 1,000 classes, 32x32x3"
    images = np.random.default_rng(0).integers(0, 256, (20_000, 32, 32, 3), "uint8")
    return lambda: metrics.class_ms_ssim(images, np.arange(20_000) % 1_000)


def precision(real):
    "Precision and recall, two times 10,000 x 192 features"
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((10_000, 192), "float32") for _ in range(2))
    return lambda: metrics.precision_recall(a, b)


CASES = {case.__name__: case for case in (frechet, kernel, neighbours, similarity, precision)}


def measure(name, real):
    "In a process of its own, so that its peak memory is its own."
    call = CASES[name](real)
    start = time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {CASES[name].__doc__} | {seconds:.1f} s | {peak:.1f} GiB |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", action="store_true", help="CIFAR-10 for the neighbours")
    parser.add_argument("--only", choices=CASES)
    args = parser.parse_args()
    if args.only:
        measure(args.only, args.real)
    else:
        print("| what | time | peak memory of the process |\n|---|--:|--:|", flush=True)
        for name in CASES:
            flags = ["--real"] * args.real
            subprocess.run([sys.executable, __file__, "--only", name, *flags], check=True)
