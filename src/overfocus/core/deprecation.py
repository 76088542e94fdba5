"""Old names of settings, attributes and methods, which work for one more minor version with a DeprecationWarning.

Those of modules and classes stand in `overfocus.renamed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar
from warnings import warn

from overfocus.core.errors import OverfocusError

T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def warn_renamed(old: str, new: str, level: int = 3) -> None:
    """Warn that `old` is now called `new`; `level` as `warnings.warn` counts it, 3 being the caller's caller."""
    warn(f"{old} is now called {new}; the old name goes in the next minor version", DeprecationWarning, level)


def renamed_fields(**new_names: str) -> Callable[[T], T]:
    """Let a dataclass take and answer to the old names of its fields: `@renamed_fields(old="new")`."""

    def changed(kind: T) -> T:
        plain = kind.__init__

        @wraps(plain)
        def init(self: Any, *values: Any, **named: Any) -> None:
            plain(self, *values, **with_new_names(kind.__name__, named, new_names, level=4))

        kind.__init__ = init
        kind.renamed = new_names
        for old, new in new_names.items():
            setattr(kind, old, renamed_property(kind.__name__, old, new))
        return kind

    return changed


def renamed_arguments(**new_names: str) -> Callable[[F], F]:
    """Let a function take keyword arguments by their old names: `@renamed_arguments(old="new")`."""

    def changed(function: F) -> F:
        @wraps(function)
        def call(*values: Any, **named: Any) -> Any:
            return function(*values, **with_new_names(function.__name__, named, new_names, level=4))

        return call  # type: ignore[return-value]

    return changed


def with_new_names(owner: str, named: dict[str, Any], new_names: Mapping[str, str], level: int = 3) -> dict[str, Any]:
    """Return the settings `named` of `owner` by their new names; OverfocusError where one has both its names."""
    for old, new in ((old, new) for old, new in new_names.items() if old in named):
        if new in named:
            raise OverfocusError(f"{owner}: {old} is the old name of {new}; give {new} alone")
        warn_renamed(f"{owner}({old}=...)", f"{owner}({new}=...)", level)
    return {new_names.get(name, name): value for name, value in named.items()}


def renamed_property(owner: str, old: str, new: str) -> Any:
    """Return an attribute that answers what the attribute or method `new` does."""

    def get(self: Any) -> Any:
        warn_renamed(f"{owner}.{old}", f"{owner}.{new}")
        return getattr(self, new)

    return property(get, doc=f"The old name of `{new}`.")
