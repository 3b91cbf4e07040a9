"""A file of tests stays on one worker, with its fixtures; notebooks are spread. The longest first."""

import os
import shutil
import signal
import sys
from contextlib import contextmanager, suppress

import pytest
from hypothesis import settings

import acgan_nb  # noqa: F401  # before TensorFlow, which reads its settings when it is imported

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # and these, which children inherit
for threads in ("OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ.setdefault(threads, "1")  # there is a worker for each core
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")  # other processes may fill the memory
settings.register_profile("fixed", derandomize=True, database=None)  # the same inputs in every run
settings.load_profile("fixed")
with suppress(ValueError):  # of another thread
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
SPREAD = "test_notebooks.py"
LONGEST = "sweeps reliability evaluate jax devices gan cli export demo".split()


@pytest.fixture(scope="session", autouse=True)
def graphs_run_as_they_were_traced():
    "TensorFlow's graph optimiser takes longer than the few steps of a test. Children keep it."
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@contextmanager
def run_eagerly(eagerly=True):
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(eagerly)
    yield
    tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="module")
def without_graphs():
    "Two steps take less time than tracing them; for a file of tests that train so little."
    with run_eagerly():
        yield


@pytest.fixture
def eagerly():
    "The same for one test."
    with run_eagerly():
        yield


@pytest.fixture
def with_graphs():
    "For one test of such a file that trains longer."
    with run_eagerly(False):
        yield


@pytest.fixture
def small_networks(monkeypatch):
    "What a test trains on digits, if it names no architecture, is `tiny`."
    import tiny  # noqa: F401  # an architecture of the package then
    from acgan_nb.architectures import arch_for

    def small_for(*size):
        return "tiny" if size == (8, 8) else arch_for(*size)

    monkeypatch.setattr("acgan_nb.plan.arch_for", small_for)


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def pytest_collection_modifyitems(items):
    "Notebooks last: with many short ones at the end, no worker waits long for the other."
    order = {f"test_{name}.py": i for i, name in enumerate(LONGEST)} | {SPREAD: 100}
    items.sort(key=lambda item: order.get(item.path.name, 99))


def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith(SPREAD) else file

    return Files(config, log)


@pytest.fixture(scope="session")
def browser():
    "Chromium, for the tests of live pages; without it they are skipped."
    sync_api = pytest.importorskip("playwright.sync_api", reason="no browser test: no playwright")
    names = "chromium", "chromium-browser", "google-chrome"
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no browser test: no Chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
