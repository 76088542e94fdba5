"""A folder as a registry: a file that defines a class of a kind registers it."""

from __future__ import annotations

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def classes_in(folder: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """Return file name -> the concrete subclass of `base` defined there, for every file of the package `folder`."""
    found: dict[str, type[T]] = {}
    for file in iter_modules(folder.__path__):
        module = import_module(f"{folder.__name__}.{file.name}")
        for value in vars(module).values():
            own = isinstance(value, type) and value.__module__ == module.__name__
            if own and issubclass(value, base) and not isabstract(value):
                found[file.name] = value
    return found
