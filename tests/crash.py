"""Kill real training processes, resume them, and compare with a run that nobody disturbed.

    python -m tests.crash --kills 50 --out results/reliability.json
    KERAS_BACKEND=jax python -m tests.crash --kills 5

Every trial is a process of its own that trains the digits network (the tests: the tiny one) with
evaluations, grids and checkpoints. A trial passes if, after it was resumed, every file of its run directory is byte for
byte that of the undisturbed run. Wall-clock seconds are left out; nothing else is."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from multiprocessing.pool import ThreadPool
from pathlib import Path

STEPS = 120
LIBRARIES = ["keras", "matplotlib.pyplot", "scipy.stats", "IPython.core.interactiveshell"]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(LIBRARIES)


class Fork(FORKS.Process):
    """Calls a function in a process that has imported Keras and TensorFlow, and nothing of ours.

    It is forked from one that did only that, which takes seconds: nothing has been computed there,
    no thread runs. What is printed goes to a file."""

    def __init__(self, printed: Path, function, *arguments):
        super().__init__(target=function, args=arguments)
        self.printed = printed

    def run(self):
        with open(self.printed, "wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        super().run()

    def said(self) -> str:
        return self.printed.read_text()


def train(begins, outdir, steps, fault, at, arch):
    "What each process does: train, unless a fault comes at the checkpoint (or byte) of this number."
    warnings.simplefilter("ignore")
    if os.environ.get("KERAS_BACKEND") != "jax":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        quick = arch == "tiny"  # graphs that run a few times: not optimised
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": quick})
    if arch == "tiny":
        import tiny  # noqa: F401  # an architecture of the package then
    from acgan_nb.train import fit

    prepare(fault, at)
    begins.close()
    often = dict(evaluate_every=40, save_every=20, log_every=7, save_minutes=0.05)
    fit("digits", arch=arch, steps=steps, outdir=outdir, verbose=False, **often)


def prepare(fault, at):
    "Die in the middle of writing a checkpoint, or have a disk with room for so many bytes."
    import numpy as np

    replace, savez, count = os.replace, np.savez, 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def counted_savez(file, **values):
        nonlocal count
        savez(file, **values)
        count += "about" in values  # a checkpoint, not other weights
        if fault == "half written" and count == at and "about" in values:
            file.truncate(file.tell() // 2)
            die()

    def counted_replace(source, target):
        old = str(source).endswith("/checkpoint")
        new = not old and str(target).endswith("/checkpoint")
        if count == at and (old and fault == "not renamed" or new and fault == "half renamed"):
            die()
        replace(source, target)

    np.savez, os.replace = counted_savez, counted_replace
    if fault == "quota":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))


def start(outdir, steps=STEPS, fault="none", at=0, arch="tiny") -> Fork:
    "A training process, when it has imported everything and begins."
    begins, there = FORKS.Pipe(duplex=False)
    process = Fork(Path(f"{outdir}.txt"), train, there, str(outdir), steps, fault, at, arch)
    process.start()
    there.close()
    begins.poll(None)
    return process


def finish(outdir, **options) -> str:
    "Train to the end; the last line that was printed if that failed."
    process = start(outdir, **options)
    process.join()
    return process.said().strip().rpartition("\n")[2] if process.exitcode else ""


def contents(outdir) -> dict:
    "What a run directory holds, without wall-clock seconds: name -> something to compare."
    from acgan_nb.directory import RunDirectory

    found = {}
    for path in sorted(Path(outdir).rglob("*")):
        name = path.relative_to(outdir).as_posix()
        if path.is_file() and not name.startswith((".", "checkpoint", "history")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    directory = RunDirectory(outdir)
    checkpoint, history = directory.find_checkpoint(), directory.read_history()
    for table in (history, checkpoint.history):
        del table["seconds"]
    found["history.csv"] = repr(history)
    found["checkpoint"] = [hashlib.sha256(a.tobytes()).hexdigest() for a in checkpoint.arrays]
    found["its history"] = repr(checkpoint.history)
    found["its config"] = checkpoint.config
    found["its monitor"] = checkpoint.monitor
    return found


def differences(outdir, undisturbed) -> list:
    here = contents(outdir)
    return sorted(k for k in here.keys() | undisturbed.keys() if here.get(k) != undisturbed.get(k))


def kill_at_random(outdir, rng, begin=0, **options) -> int:
    "Start, kill -9 at a random instant after step `begin`; the step that was saved, -1 if none."
    from acgan_nb.directory import RunDirectory

    process, directory = start(outdir, **options), RunDirectory(outdir)
    after = begin + rng.randrange(STEPS // 3)
    while process.exitcode is None and directory.last_row().get("step", 0) < after:
        time.sleep(0.002)
    process.join(rng.uniform(0, 0.05))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "it had ended before"
    checkpoint = directory.find_checkpoint()
    return checkpoint.step if checkpoint else -1


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="trials at a time")
    parser.add_argument("--out", type=Path, help="JSON file for the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root, ThreadPool(options.jobs) as pool:
        first = Path(root) / "undisturbed"
        process, began = start(first, arch="digits"), time.time()
        process.join()
        seconds, undisturbed = time.time() - began, contents(first)
        print(f"undisturbed: {STEPS} steps in {seconds:.1f} s", flush=True)

        def trial(i):
            outdir = Path(root) / f"trial_{i}"
            step = kill_at_random(outdir, random.Random(f"{options.seed} {i}"), arch="digits")
            error = finish(outdir, arch="digits")
            wrong = differences(outdir, undisturbed)
            found = {"saved_step": step, "error": error, "differs": wrong}
            print(f"{i + 1:3d} of {options.kills}: {found}", flush=True)
            return found

        trials = pool.map(trial, range(options.kills), chunksize=1)
    good = sum(not t["error"] and not t["differs"] for t in trials)
    print(f"{good} of {len(trials)} ended bit-identical")
    if options.out:
        command = f"python -m tests.crash --kills {options.kills} --seed {options.seed}"
        command += f" --jobs {options.jobs}"
        about = {"command": command, "config": undisturbed["its config"], "trials": trials}
        options.out.write_text(json.dumps(about, indent=1) + "\n")
    sys.exit(good < len(trials))


if __name__ == "__main__":
    main()
