"""Contenders measured in turns, each in a process of its own; rows of ratios; one JSON file.

A contender is a function `contender(tick, **settings)` that works for ever and calls `tick()`
after each piece of work. Between its turns it waits inside `tick`, and takes no processor time."""

import json
import multiprocessing
import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

PACKAGES = ("acgan_nb", "keras", "tensorflow", "jax", "torch", "numpy", "torchmetrics", "prdc")
PACKAGES += ("pytorch-msssim", "scipy", "scikit-learn")


def native_bfloat16(cpuinfo=Path("/proc/cpuinfo")):
    "Whether the processor says that it multiplies bfloat16 itself."
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(cpu_flags(cpuinfo))


def cpu_flags(cpuinfo=Path("/proc/cpuinfo")):
    "What the processor says that it can, as Linux names it."
    return set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()


def vector_instructions():
    "Those that decide how fast a convolution is, None if unknown."
    known = "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16"
    return " ".join(sorted(cpu_flags().intersection(known))) or None


class Finished(BaseException):
    "No more turns: contenders tidy up and end."


class Ticker:
    "Counts pieces of work, reports the seconds of a turn, and waits for the next turn."

    def __init__(self, pipe):
        self.pipe, self.left, self.done = pipe, 0, 0
        self.sync = None  # what waits until a device has done all it was asked to do

    def __call__(self, pieces=1, value=None):
        self.done += pieces
        if self.done < self.left:
            return
        if self.sync:
            self.sync()
        if self.left:
            seconds = time.perf_counter() - self.start
            self.pipe.send(dict(seconds=seconds, done=self.done, value=value))
        self.left = self.pipe.recv()
        if not self.left:
            raise Finished
        self.done, self.start = 0, time.perf_counter()


def _work(pipe, contender, settings):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # start-up messages; errors go through the pipe
    try:
        contender(Ticker(pipe), **settings)
    except (Finished, EOFError):  # the driver has ended, in order or not
        pass
    except BaseException as error:  # the driver puts it into the table
        pipe.send(dict(error=f"{type(error).__name__}: {error}".partition("\n")[0][:300]))


class Worker:
    "One contender, alive from its first turn to `close`."

    def __init__(self, contender, **settings):
        spawn = multiprocessing.get_context("spawn")
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(theirs, contender, settings), daemon=False)
        self.process.start()
        theirs.close()

    def ask(self, pieces):
        try:
            self.pipe.send(pieces)
        except OSError:
            pass  # `answer` says so

    def answer(self, timeout=900):
        "{seconds, done, value} of the turn that was asked for, or {error}."
        try:
            if self.pipe.poll(timeout):
                return self.pipe.recv()
            return dict(error=f"no answer within {timeout} s")
        except (EOFError, OSError):
            self.process.join(5)
            return dict(error=f"its process ended with code {self.process.exitcode}")

    def close(self):
        self.ask(0)
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def interleave(contenders, rounds, pieces=1, warm=1, pause=0.3, workers=None):
    """{name: [seconds per piece, one per round]}, {name: last value}, {name: error}.

    `contenders`: {name: (function, settings)}; `workers`: others that are already alive. All warm
    up first, together. Then in each round every contender has one turn of `pieces`, after one piece
    that is not timed."""
    own = {name: Worker(f, **settings) for name, (f, settings) in contenders.items()}
    workers = {**(workers or {}), **own}
    seconds, values, errors = {name: [] for name in workers}, {}, {}

    def turn(name, count, asked=False):
        if not asked:
            workers[name].ask(count)
        answer = workers[name].answer()
        if "error" in answer:
            errors[name] = answer["error"]
        return answer

    try:
        for name in workers:
            workers[name].ask(warm)
        for name in workers:
            turn(name, warm, asked=True)
        for _ in range(rounds):
            for name in [n for n in workers if n not in errors]:
                turn(name, 1)
                answer = turn(name, pieces) if name not in errors else {}
                if "seconds" in answer:
                    seconds[name].append(answer["seconds"] / answer["done"])
                    values[name] = answer["value"]
                time.sleep(pause)  # threads that spin while they wait for work go to sleep
    finally:
        for worker in own.values():
            worker.close()
    return seconds, values, errors


def quartiles(values):
    "(lower quartile, median, upper quartile)."
    if len(values) < 2:
        return (values[0],) * 3
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def row(name, ours, theirs, target=None, note="", **more):
    """A row of the table from the seconds of each round: the median of the ratios ours / theirs.

    `target`: (">=" or "<=", number)."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    low, ratio, high = quartiles(ratios)
    found = dict(name=name, ratio=ratio, low=low, high=high, n=len(ratios))
    found |= dict(ours=statistics.median(ours), theirs=statistics.median(theirs))
    return judged(dict(found, target=target, note=note, **more))


def judged(found):
    "The row, and whether its target is met."
    if target := found["target"]:
        sign, limit = target
        met = found["ratio"] <= limit if sign == "<=" else found["ratio"] >= limit
        found["met"] = bool(met)
    return found


def failed(name, reason):
    return dict(name=name, error=reason, target=None, note="")


def rows(pairs, seconds, errors):
    "Rows of (name, our contender, their contender, target, note); a failed contender says why."
    found = []
    for name, ours, theirs, target, note in pairs:
        reasons = [f"{who}: {errors[who]}" for who in (ours, theirs) if who in errors]
        reasons += [f"{w}: no turn" for w in (ours, theirs) if not reasons and not seconds.get(w)]
        if reasons:
            found.append(failed(name, "; ".join(reasons)))
        else:
            found.append(row(name, seconds[ours], seconds[theirs], target, note))
    return found


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def hardware():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    threads = {k: v for k, v in os.environ.items() if k.endswith("_THREADS")}  # else: all cores
    found = dict(cpu=cpu_name(), cores=cores, memory_gib=round(memory, 1), os=platform.system())
    return found | dict(threads=threads, instructions=vector_instructions())


def versions():
    found = dict(python=platform.python_version())
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            pass
    return found


def busy(seconds=2.0):
    "Share of the processors' time that somebody takes while nothing is measured; None if unknown."

    def times():
        fields = [int(t) for t in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return fields[3] + fields[4], sum(fields[:8])

    try:
        idle, total = times()
        time.sleep(seconds)
        idle_after, total_after = times()
    except (OSError, ValueError, IndexError):
        return None
    return round(1 - (idle_after - idle) / max(1, total_after - total), 3)


def load_average():
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def read_record(path):
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"sections": {}}


def write_record(path, record):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


def measure_section(function, **settings):
    "What a section found, with what the machine was doing before it."
    share, load, start = busy(), load_average(), time.perf_counter()
    if share is not None and share > 0.1:
        print(f"warning: {share:.0%} of the machine is busy with something else", flush=True)
    found = function(**settings)
    seconds = round(time.perf_counter() - start, 1)
    return dict(**found, settings=settings, busy_before=share, load_before=load, seconds=seconds)


HEAD = "| what | ratio | quartiles | n | ours | theirs | target |\n|---|--:|--:|--:|--:|--:|---|"


def seconds_text(value):
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def line(row):
    "A row as one line of a Markdown table."
    if "error" in row:
        return f"| {row['name']} | not measured: {row['error']} | | | | | |"
    cells = [row["name"], f"{row['ratio']:.3g}", f"{row['low']:.3g} to {row['high']:.3g}", row["n"]]
    unit = (lambda value: f"{value:.3g} {row['unit']}") if "unit" in row else seconds_text
    cells += [unit(row["ours"]), unit(row["theirs"])]
    target = ""
    if row["target"]:
        sign, limit = row["target"]
        sign = {"<=": "at most", ">=": "at least"}[sign]
        target = f"{sign} {limit:.3g}: {'reached' if row['met'] else 'NOT reached'}"
    return "| " + " | ".join(map(str, [*cells, target])) + " |"


def measured(record, name):
    "Whether a section is in the record, and not merely its failure."
    return any("error" not in row for row in record["sections"].get(name, {}).get("rows", ()))


def run_sections(sections, out, command, wanted=(), **settings):
    """Measure the sections that are missing in `out`, or the wanted ones; write after each.

    `sections`: {name: function}. Without `out` nothing is written."""
    record = read_record(out) if out else {"sections": {}}
    print(HEAD, flush=True)
    for name, function in sections.items():
        if name in (wanted or sections) and (wanted or not measured(record, name)):
            record["sections"][name] = measure_section(function, **settings) | {
                "hardware": hardware(), "versions": versions(), "command": command
            }
            if out:
                write_record(out, record)
        for found in record["sections"].get(name, {}).get("rows", ()):
            print(line(found), flush=True)
    return record
