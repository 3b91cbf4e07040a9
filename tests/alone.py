"""A notebook run alone, in a process that is then thrown away (crash.Fork)."""

import importlib.abc
import json
import os
import re
import signal
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import tensorflow as tf
from IPython.core.interactiveshell import InteractiveShell

EXAMPLES = 200
NAMES = "airplane automobile bird cat deer dog frog horse ship truck"  # TFDS finds them in the data


class Absent(importlib.abc.MetaPathFinder):
    "What a plain installation does not have."

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}: not in the wheel", name=name)


class Shell(InteractiveShell):
    def enable_gui(self, gui=None):
        "Figures are drawn, not shown."

    def showtraceback(self, *args, **options):
        "IPython goes on when a figure cannot be drawn; a test should not."
        super().showtraceback(*args, **options)
        self.failed = True


def mock(names, data_dir):
    "TFDS' mock, which needs to know the splits of data sets that are not there."
    import tensorflow_datasets as tfds

    for name in names:
        builder = tfds.builder(name, data_dir=data_dir)
        if name == "cifar10":  # without them no shipped judge fits, and one would be trained
            builder.info.features["label"].names = NAMES.split()
        where = {"data_dir": builder.data_dir, "dataset_name": name, "filetype_suffix": "tfrecord"}
        template = tfds.core.ShardedFileTemplate(**where)
        one = {"shard_lengths": [EXAMPLES], "num_bytes": 0, "filename_template": template}
        splits = [tfds.core.SplitInfo(name=split, **one) for split in ("train", "test")]
        builder.info.set_splits(tfds.core.SplitDict(splits))
        Path(builder.data_dir).mkdir(parents=True)
        builder.info.write_to_directory(builder.data_dir)
    return tfds.testing.mock_data(num_examples=EXAMPLES, data_dir=data_dir)


def run(notebook, skipped):
    "All code cells, figures drawn; the first error ends it."
    shell = Shell.instance()
    shell.failed = False
    shell.run_cell("%matplotlib inline").raise_error()
    for cell in json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        flags = re.findall(r"^#\| (\w+)$", source, re.MULTILINE)
        if cell["cell_type"] == "code" and not skipped & set(flags):
            shell.run_cell(source, store_history=True).raise_error()
            assert not shell.failed, source


def make_alone(site, absent):
    "Of this project only `site` can be imported, here and in children; ABSENT modules not at all."
    here = Path(__file__).parent
    paths = (path for path in sys.path if Path(path).resolve() not in (here, here.parent))
    sys.path[:] = [str(site), *paths]
    os.environ["PYTHONPATH"] = str(site)
    for name in list(sys.modules):
        if name.partition(".")[0] in absent:
            del sys.modules[name]
    sys.meta_path.insert(0, Absent(absent))


def turn_down_judges(steps):
    "No classifier is trained for more steps than these, and in training few samples are judged."
    from acgan_nb import judges

    recipe_for = judges.recipe_for
    judges.recipe_for = lambda data: replace(recipe_for(data), steps=steps)
    from acgan_nb import monitor

    del judges.RECIPES["cifar10_64"]  # the slowest
    monitor.real_statistics = partial(monitor.real_statistics, samples=100)
    from acgan_nb import report

    report.FIGURES = report.FIGURES[:2]


def turn_down_networks():
    "The tables found first for an image size are of small networks: `fit` takes these by default."
    sys.path.append(str(Path(__file__).parent))
    from tiny import ARCHITECTURES, small

    sys.path.pop()
    tables = dict(ARCHITECTURES)
    ARCHITECTURES.clear()
    for size, channels in ((8, 1), (16, 3), (28, 1), (32, 3)):
        ARCHITECTURES[f"small{size}"] = small((size, size, channels))
    ARCHITECTURES.update(tables)


def main(notebook, site, absent, skipped, mocked, judge_steps=None):
    """Run it in its folder, without cells SKIPPED; of the data sets MOCKED there is TFDS' mock.

    With JUDGE_STEPS it is a dry run, in which networks are small and hardly trained.

    A thread of TensorFlow for each process: as many notebooks run at once as there are cores."""
    os.chdir(notebook.parent)
    make_alone(site, absent)
    assert "acgan_nb" not in sys.modules
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if judge_steps:
        tf.config.run_functions_eagerly(True)  # one step takes less time than tracing it
        turn_down_judges(judge_steps)
        turn_down_networks()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with tempfile.TemporaryDirectory() as folder:
        with mock(mocked, folder) if mocked else nullcontext():
            run(notebook, skipped)
    import acgan_nb

    assert Path(acgan_nb.__file__).parent == site / "acgan_nb"
