"A file stays on one worker, with its fixtures; two slow files are spread, fixtures and all."

import pytest

import acgan_nb  # noqa: F401  # before TensorFlow, which reads its settings when it is imported

SPREAD = ("test_notebooks.py", "test_reliability.py")
FIRST = ("test_sweeps.py", "test_evaluate.py", "test_jax.py", "test_devices.py")  # long: no worker should end with one


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in FIRST)
    for item in items:
        if item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
