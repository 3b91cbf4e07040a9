"""How fast training and the measures are, as ratios measured in turns: one table.

    python benchmarks/speed.py                 # everything that results/benchmarks_cpu.json lacks
    python benchmarks/speed.py --only torch    # this section, again
    python benchmarks/speed.py --quick         # a rehearsal with small shapes; writes nothing

Needs the `oracles` extra (PyTorch and the independent measures). About 15 minutes on two idle
cores. A ratio is our time divided by the other's, so small is fast; but `peak` is a share of the
machine's rate, and large is fast. The contenders of a section are alive together, each in a process
of its own, and take turns."""

import argparse
import csv
import multiprocessing
import os
import statistics
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TQDM_DISABLE", "1")

import contenders as c  # noqa: E402
import interleave as il  # noqa: E402
import numpy as np  # noqa: E402
import oracles  # noqa: E402

RESULTS = Path(__file__).parents[1] / "results"
BASE = dict(arch="cifar10", batch_size=100, num_classes=10, noise=0.1)
SMALL = dict(arch="digits", batch_size=20, num_classes=10, noise=0.1)


def plan(quick, rounds=10, pieces=3):
    "(networks and batch, rounds, steps per turn)."
    return (SMALL, 2, 2) if quick else (BASE, rounds, pieces)


def against_torch(quick):
    "fit and a plain PyTorch loop: eager, with channels last, compiled; with and without noise."
    base, rounds, pieces = plan(quick)
    quiet = base | dict(noise=0.0)
    target = ("<=", 0.65) if il.native_bfloat16() else None
    field = {
        "fit": (c.ours_fit, base),
        "eager": (c.torch_loop, base),
        "channels last": (c.torch_loop, base | dict(channels_last=True)),
        "torch.compile": (c.torch_loop, base | dict(compiled=True)),
        "fit, no noise": (c.ours_fit, quiet),
        "eager, no noise": (c.torch_loop, quiet),
        "fit, bfloat16": (c.ours_fit, base | dict(bf16=True)),
        "eager, bfloat16": (c.torch_loop, base | dict(bf16=True)),
    }
    seconds, _, errors = il.interleave(field, rounds, pieces)
    ratios = [
        ("a step: fit / PyTorch eager", "fit", "eager", ("<=", 0.80), ""),
        ("fit / PyTorch eager, channels last", "fit", "channels last", None, ""),
        ("fit / torch.compile", "fit", "torch.compile", None, ""),
        ("fit / PyTorch eager, no activation noise", "fit, no noise", "eager, no noise", None, ""),
        ("fit in bfloat16 / PyTorch eager in float32", "fit, bfloat16", "eager", target, ""),
        ("fit / PyTorch eager, both bfloat16", "fit, bfloat16", "eager, bfloat16", None, ""),
        ("fit in bfloat16 / fit in float32", "fit, bfloat16", "fit", None, ""),
    ]
    return dict(config=base, rows=il.rows(ratios, seconds, errors))


def own_kernels(quick):
    """fit beside Keras' own layers and optimiser, and beside PyTorch; without activation noise."""
    base, rounds, pieces = plan(quick)
    base = base | dict(noise=0.0)
    kinds = {"float32": dict(bf16=False), "bfloat16": dict(bf16=True)}
    who = {"fit": c.ours_fit, "Keras": c.fit_of_plain_keras, "PyTorch": c.torch_loop}
    field = {f"{w}, {k}": (f, base | kind) for k, kind in kinds.items() for w, f in who.items()}
    seconds, _, errors = il.interleave(field, rounds, pieces)
    limits = dict(float32=(0.85, 0.68), bfloat16=(0.70, 0.55))
    ratios = []
    for k, (before, torch) in limits.items():
        ratios += [
            (f"fit / fit with Keras' own layers and Adam, {k}", f"fit, {k}", f"Keras, {k}", ("<=", before), ""),
            (f"fit / PyTorch eager, no activation noise, {k}", f"fit, {k}", f"PyTorch, {k}", ("<=", torch), ""),
        ]
    found = il.rows(ratios, seconds, errors)
    for k in kinds if not errors else ():
        ours, before = ([3600 / s for s in seconds[f"{w}, {k}"]] for w in ("fit", "Keras"))
        title = f"steps per hour, with and without the kernels, {k}"
        found.append(il.row(title, ours, before, unit="steps/h"))
    return dict(config=base, rows=found)


def where_time_goes(quick):
    "Seconds of all threads per step by kind of operation: Keras' own layers, and ours."
    base, spawn = (SMALL if quick else BASE) | dict(noise=0.0), multiprocessing.get_context("spawn")
    found, rows = {}, []
    for bf16 in (False, True):
        for plain in (True, False):
            receive, send = spawn.Pipe(duplex=False)
            process = spawn.Process(target=c.traced_step, args=(send, plain), kwargs=dict(bf16=bf16, **base))
            process.start()
            send.close()  # or nobody would notice that the other end died
            found[plain] = receive.recv()
            process.join()
        kind = "bfloat16" if bf16 else "float32"
        ours, before = found[False], found[True]
        rows += [
            il.row(f"{name}, {kind}", [ours[name]], [before[name]])
            for name in before if before[name] > 0
        ]
    return dict(config=base, rows=rows)


def against_classic(quick):
    "fit and the loop of train_on_batch calls, as Keras compiles it and with XLA."
    base, rounds, pieces = plan(quick)
    field = {
        "fit": (c.ours_fit, base),
        "default": (c.classic_loop, base),
        "with XLA": (c.classic_loop, base | dict(jit_compile=True)),
    }
    seconds, _, errors = il.interleave(field, rounds, pieces, warm=2)
    ratios = [
        ("fit / train_on_batch loop, Keras' defaults", "fit", "default", None, ""),
        ("fit / train_on_batch loop, jit_compile=True", "fit", "with XLA", None, ""),
    ]
    return dict(config=base, rows=il.rows(ratios, seconds, errors))


def against_other_kernels(quick):
    "fit on oneDNN, which the package asks for, and on TensorFlow's other convolutions."
    base, rounds, pieces = plan(quick, rounds=5)
    names = ("digits",) if quick else ("digits", "mnist", "cifar10")
    field = {}
    for name in names:
        of = base | dict(arch=name)
        field |= {name: (c.ours_fit, of), f"{name}, without": (c.fit_without_onednn, of)}
    seconds, _, errors = il.interleave(field, rounds, pieces)
    ratios = [
        (f"{name}: fit / fit without oneDNN", name, f"{name}, without", None, "") for name in names
    ]
    return dict(config=base, rows=il.rows(ratios, seconds, errors))


def of_peak(quick):
    """The operations of a step per second over those of a large matrix product.

    For `fit`, and for the multiplications of the same step with nothing between them: no way to
    write the step is faster than those."""
    from flops import step_flops

    base, rounds, pieces = plan(quick)
    size = 256 if quick else 4096
    field = {
        "fit": (c.ours_fit, base),
        "fit, no noise": (c.ours_fit, base | dict(noise=0.0)),
        "products": (c.tensorflow_products, base),
        "matmul": (c.tensorflow_matmul, dict(size=size)),
    }
    seconds, _, errors = il.interleave(field, rounds, pieces)
    names = base["arch"], base["batch_size"], base["num_classes"]
    counts = {useful: step_flops(*names, useful=useful) for useful in (False, True)}
    config = base | dict(matmul=size, step_flops=counts[False], useful_flops=counts[True])
    if errors:
        return dict(config=config, rows=[il.failed("share of the matmul rate", str(errors))])
    peak = 2 * size**3 / min(seconds["matmul"]) / 1e9

    def share(name, who, useful=False, target=None):
        rates = [counts[useful] / s / 1e9 for s in seconds[who]]
        title = f"share of the float32 matmul rate, {name}"
        return il.row(title, rates, [peak] * len(rates), target, unit="GFLOP/s")

    found = [
        share("all multiplications", "fit", target=(">=", 0.75)),
        share("without those by padding", "fit", useful=True),
        share("no activation noise", "fit, no noise"),
        share("the multiplications of a step and nothing else", "products"),
    ]
    return dict(config=config, rows=found)


def over_bare(quick):
    "fit, without and with a run directory, over the bare compiled step on the same images."
    base, rounds, pieces = plan(quick, pieces=5)
    saving = base | dict(outdir=True, save_every=pieces)
    field = {
        "bare": (c.ours_bare, base),
        "fit": (c.ours_fit, base),
        "saving": (c.ours_fit, saving),
    }
    seconds, _, errors = il.interleave(field, rounds, pieces, warm=pieces)
    ratios = [("fit / bare steps", "fit", "bare", ("<=", 1.05), "")]
    found = il.rows(ratios, seconds, errors)
    if not errors:
        found.append(with_saves(seconds, pieces))
    return dict(config=base, rows=found)


def with_saves(seconds, pieces, every=500):
    """Fit with a checkpoint and samples every 500 steps over the bare steps.

    Measured with a save in every turn; what a turn takes longer than without is spread over 500."""
    save = [(s - f) * pieces for s, f in zip(seconds["saving"], seconds["fit"])]
    ours = [f + max(0.0, extra) / every for f, extra in zip(seconds["fit"], save)]
    name = f"fit with a checkpoint and samples every {every} steps / bare steps"
    note = f"one save takes {statistics.median(save):.2f} s"
    return il.row(name, ours, seconds["bare"], ("<=", 1.05), note)


def measures(quick):
    "Each measure over its oracle; the two values are kept beside the times."
    rounds, found = (2 if quick else 5), []
    for other, (name, _, title) in oracles.ORACLES.items():
        ours = dict(name=name, quick=quick)
        field = {"ours": (oracles.metric, ours),
                 other: (oracles.metric, ours | dict(oracle=other))}
        seconds, values, errors = il.interleave(field, rounds)
        size = oracles.input_size(name, quick)
        shape = " x ".join(map(str, np.atleast_1d(size)))
        label = f"{title} / {other}, {shape}"
        [row] = il.rows([(label, "ours", other, None, "")], seconds, errors)
        found.append(row | dict(values=[values.get("ours"), values.get(other)]))
    return dict(config=dict(sizes="samples x features, or images x pixels"), rows=found)


def variants(base):
    "What differs from the base case: (name, settings)."
    yield from ((f"batch {b}", dict(batch_size=b)) for b in (25, 50, 200))
    sizes = (("digits", 8), ("mnist", 28), ("imagenet64", 64))
    yield from ((f"{arch}, {size} pixels", dict(arch=arch)) for arch, size in sizes)
    yield "100 classes", dict(num_classes=100)
    yield "no activation noise", dict(noise=0.0)


def sweep(quick):
    "A step of each variant over a step of the base case."
    base, rounds, pieces = plan(quick, rounds=5, pieces=2)
    shared = {"base": il.Worker(c.ours_bare, **base)}
    found = []
    try:
        for name, change in list(variants(base))[: 2 if quick else None]:
            field = {name: (c.ours_bare, base | change)}
            seconds, _, errors = il.interleave(field, rounds, pieces, workers=shared)
            [row] = il.rows([(f"a step: {name} / base", name, "base", None, "")], seconds, errors)
            found.append(row | dict(change=change))
    finally:
        shared["base"].close()
    return dict(config=base, rows=found)


def to_quality(quick, threshold=0.95, path=RESULTS / "mnist" / "history.csv"):
    "Steps and time of the MNIST run until its judge accepts 95 % of the samples."
    if not path.exists():
        return dict(config={}, rows=[il.failed("MNIST to 95 %", "there is no finished run")])
    with open(path, newline="", encoding="utf-8") as file:
        seen = [r for r in csv.DictReader(file) if r["judge_accuracy"] != "nan"]
    good = [r for r in seen if float(r["judge_accuracy"]) >= threshold]
    config = dict(run="results/mnist", threshold=threshold, arch="mnist", noise=0.0)
    if not good:
        return dict(config=config, rows=[il.failed("MNIST to 95 %", "the run did not get there")])
    first = good[0]
    base = dict(arch="digits" if quick else "mnist", batch_size=100, num_classes=10, noise=0.0)
    seconds, _, errors = il.interleave({"fit": (c.ours_fit, base)}, 2 if quick else 10, 3)
    if errors:
        return dict(config=config, rows=[il.failed("MNIST to 95 %", errors["fit"])])
    steps, step = float(first["step"]), statistics.median(seconds["fit"])
    note = f"{steps:.0f} steps, GAN-test {float(first['judge_accuracy']):.1%}"
    if first is seen[0]:
        note += ", at the run's first evaluation: an upper bound"
    config |= dict(steps=steps, seconds_recorded=float(first["seconds"]), step_seconds=step)
    name = "MNIST to 95 %: its steps at today's speed / the time that the run took"
    times = [steps * s for s in seconds["fit"]]
    row = il.row(name, times, [float(first["seconds"])] * len(times), None, note)
    return dict(config=config, rows=[row])


SECTIONS = {
    "torch": against_torch,
    "kernels": own_kernels,
    "trace": where_time_goes,
    "classic": against_classic,
    "onednn": against_other_kernels,
    "peak": of_peak,
    "bare": over_bare,
    "metrics": measures,
    "sweep": sweep,
    "quality": to_quality,
}


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="sections, with commas: " + ",".join(SECTIONS))
    parser.add_argument("--out", type=Path, help="default: results/benchmarks_cpu.json")
    parser.add_argument("--quick", action="store_true", help="small shapes, no results")
    args = parser.parse_args(arguments)
    wanted = [name for name in args.only.split(",") if name]
    if unknown := [name for name in wanted if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    out = args.out or (None if args.quick else RESULTS / "benchmarks_cpu.json")
    command = " ".join(["python benchmarks/speed.py", *(arguments or sys.argv[1:])])
    il.run_sections(SECTIONS, out, command, wanted, quick=args.quick)


if __name__ == "__main__":
    main()
