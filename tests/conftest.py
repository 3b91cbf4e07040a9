"Files share their fixtures within one worker; the slow ones without shared fixtures are spread."

import pytest

SPREAD = ("test_notebooks.py", "test_reliability.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name not in SPREAD:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
