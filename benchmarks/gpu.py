"""How fast training is on a GPU with JAX, unattended: one table, one file, no TensorFlow.

    python benchmarks/gpu.py --data cifar10.npz         # what results/benchmarks_gpu.json lacks
    python benchmarks/gpu.py --data cifar10.npz --only train --steps 5000
    JAX_PLATFORMS=cpu python benchmarks/gpu.py --small       # a rehearsal with small shapes

The file holds `images` uint8 (N, 32, 32, 3) and `labels` (N,); without one the images are random,
which takes as long. Sections: `steps`, a training step against PyTorch (if it is installed and sees
the GPU), in turns; `train`, 50,000 iterations from start to end; `grid`, the 27 configurations one
after another, 500 steps each. A section that is in the file already is not measured again."""

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
sys.modules["tensorflow"] = None  # Keras would import it where it is installed
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # contenders share the GPU
os.environ.setdefault("TQDM_DISABLE", "1")

import contenders as c  # noqa: E402
import interleave as il  # noqa: E402

RESULTS = Path(__file__).parents[1] / "results"
ITERATIONS = 50_000
RATES, SIGMAS = (1e-4, 2e-4, 3e-4), (0.0, 0.1, 0.2)


def shapes(small):
    return dict(arch="digits", batch_size=20) if small else dict(arch="cifar10", batch_size=100)


def device_name():
    import jax

    return f"{jax.devices()[0].device_kind}, {jax.default_backend()}"


def torch_device():
    "cuda if PyTorch is there and sees a GPU, cpu if it sees none, None without PyTorch."
    try:
        import torch
    except ImportError:
        return None
    return "cuda" if torch.cuda.is_available() else "cpu"


def against_torch(small, data, **_):
    "A step of fit and of PyTorch, eager and compiled, in float32 (TF32 allowed) and bfloat16."
    base = shapes(small) | dict(path=data)
    device = torch_device()
    log_every = 2 if small else 50  # in one call to the device
    field, ratios = {}, []
    for kind, bf16 in (("float32", False), ("bfloat16", True)):
        field[f"fit, {kind}"] = c.ours_fit, base | dict(bf16=bf16, log_every=log_every)
        if device is None:
            continue
        theirs = base | dict(bf16=bf16, device=device)
        for name, compiled, limit in (("eager", False, 1 / 3), ("torch.compile", True, 1 / 1.2)):
            rival = f"{name}, {kind}"
            field[rival] = c.torch_loop, theirs | dict(compiled=compiled)
            target = None if bf16 else ("<=", limit)
            ratios.append((f"a step: fit / {name}, {kind}", f"fit, {kind}", rival, target, ""))
    ratios.append(("fit in bfloat16 / fit in float32", "fit, bfloat16", "fit, float32", None, ""))
    rounds, pieces = (2, 2) if small else (15, 100)
    seconds, _, errors = il.interleave(field, rounds, pieces, warm=2 * log_every)
    found = il.rows(ratios, seconds, errors)
    if device is None:
        found.append(il.failed("fit / PyTorch", "PyTorch is not installed"))
    return dict(config=base | dict(data=bool(data), path=None, torch_device=device), rows=found)


def timed_fit(data, small, steps, log_every, **settings):
    "(wall time of the whole call, seconds per step between the first and the last row of its log)."
    from acgan_nb.train import fit

    start = time.perf_counter()
    run = fit(data, **shapes(small), steps=steps, verbose=False, log_every=log_every, **settings)
    wall = time.perf_counter() - start
    at, seconds = run.history["step"], run.history["seconds"]
    if len(at) < 2:
        return wall, wall / steps
    return wall, (seconds[-1] - seconds[0]) / (at[-1] - at[0])


def whole_training(small, data, steps, log_every=100, **_):
    "50,000 iterations from the call of `fit` to its end, in float32 and in bfloat16."
    steps = steps or (20 if small else ITERATIONS)
    log_every = min(log_every, max(1, steps // 5))
    loaded, found = c.arrays(shapes(small)["arch"], path=data), []
    for kind, bf16 in (("float32", False), ("bfloat16", True)):
        wall, step = timed_fit(loaded, small, steps, log_every, mixed_precision=bf16)
        full = steps == ITERATIONS
        whole = wall if full else wall + (ITERATIONS - steps) * step
        name = f"{ITERATIONS:,} iterations, {kind} / 3 minutes"
        note = f"measured: {steps:,} steps in {wall:.1f} s, {step * 1e3:.3g} ms each"
        note += "" if full else "; the rest EXTRAPOLATED"
        found.append(il.row(name, [whole], [180.0], ("<=", 1.0), note, steps=steps, wall=wall))
    return dict(config=shapes(small) | dict(steps=steps, data=bool(data)), rows=found)


def whole_grid(small, data, grid_steps, **_):
    """G's rate x D's rate x sigma, each configuration for few steps; projected to 50,000 of each.

    JAX keeps what it compiled: rates are not part of the program, so most find it there."""
    import jax

    steps = 10 if small else grid_steps
    loaded, trained, seconds = c.arrays(shapes(small)["arch"], path=data), [], 0.0
    grid = list(itertools.product(RATES, RATES, SIGMAS))
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        for g_rate, d_rate, sigma in grid[:: 9 if small else 1]:
            how = dict(learning_rate=g_rate, d_learning_rate=d_rate, activation_noise=sigma)
            wall, step = timed_fit(loaded, small, steps, max(1, steps // 5), **how)
            trained.append(how | dict(wall=wall, step=step))
            seconds += wall + (ITERATIONS - steps) * step
    wall = sum(t["wall"] for t in trained)
    note = f"{len(trained)} configurations x {steps} steps took {wall:.0f} s; the rest EXTRAPOLATED"
    name = f"{len(trained)} configurations x {ITERATIONS:,} iterations, one by one / 60 minutes"
    row = il.row(name, [seconds], [3600.0], ("<=", 1.0), note)
    return dict(config=shapes(small) | dict(steps=steps), rows=[row], configurations=trained)


SECTIONS = {"steps": against_torch, "train": whole_training, "grid": whole_grid}


def in_process(section, settings):
    "A section in a process of its own: its GPU memory is free again when it ends."

    def measure():
        worker = il.Worker(one_section, section=section, settings=settings)
        worker.ask(1)
        answer = worker.answer(timeout=7200)
        worker.close()
        if "error" in answer:
            return dict(config={}, rows=[il.failed(section, answer["error"])])
        return answer["value"]

    return measure


def one_section(tick, section, settings):
    tick(0)
    found = SECTIONS[section](**settings)
    found["device"] = device_name()
    tick(value=found)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help=".npz with images and labels; default: random")
    parser.add_argument("--out", type=Path, help="default: results/benchmarks_gpu.json")
    parser.add_argument("--only", default="", help="sections, with commas: " + ",".join(SECTIONS))
    parser.add_argument("--steps", type=int, help="of `train`; the rest is extrapolated")
    parser.add_argument("--grid-steps", type=int, default=500)
    parser.add_argument("--small", action="store_true", help="small shapes, no results")
    args = parser.parse_args(arguments)
    wanted = [name for name in args.only.split(",") if name]
    if unknown := [name for name in wanted if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    if args.data and not args.data.is_file():
        parser.error(f"there is no file {str(args.data)!r}")
    out = args.out or (None if args.small else RESULTS / "benchmarks_gpu.json")
    data = str(args.data.absolute()) if args.data else None
    settings = dict(small=args.small, data=data, steps=args.steps, grid_steps=args.grid_steps)
    told = [a if a != str(args.data) else args.data.name for a in arguments or sys.argv[1:]]
    sections = {name: in_process(name, settings) for name in SECTIONS}
    il.run_sections(sections, out, " ".join(["python benchmarks/gpu.py", *told]), wanted)


if __name__ == "__main__":
    main()
