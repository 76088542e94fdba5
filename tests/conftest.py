"""This folder holds the checks that several tests share; pytest finds them because this file is here."""

import pytest

from overfocus.core.allocator import keep_freed_memory

keep_freed_memory()  # as the command line does

LONGEST = ("test_site.py", "test_benchmarks.py", "test_local_engine.py", "test_ray_engine.py", "test_laws.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that processes which share the tests end at about the same time."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
