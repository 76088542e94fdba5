"""Names of before that still work for one minor version, each with a DeprecationWarning."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from warnings import warn

T = TypeVar("T", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def warn_renamed(old: str, new: str, level: int = 3) -> None:
    """Say that `old` is now called `new`; `level` as `warnings.warn` counts it."""
    warn(f"{old} is now called {new}; the old name will go in the next minor version", DeprecationWarning, level)


def renamed_fields(**new_names: str) -> Callable[[T], T]:
    """Let a dataclass take and answer to the old names of its fields: `@renamed_fields(old="new")`."""

    def changed(kind: T) -> T:
        made = kind.__init__

        @wraps(made)
        def init(self: Any, *values: Any, **named: Any) -> None:
            for old in new_names.keys() & named.keys():
                warn_renamed(f"{kind.__name__}({old}=...)", new_names[old])
                named[new_names[old]] = named.pop(old)
            made(self, *values, **named)

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
            for old in new_names.keys() & named.keys():
                warn_renamed(f"{function.__name__}({old}=...)", new_names[old])
                named[new_names[old]] = named.pop(old)
            return function(*values, **named)

        return call  # type: ignore[return-value]

    return changed


def renamed_property(owner: str, old: str, new: str) -> property:
    """Return an attribute that answers what the attribute or method `new` does."""

    def get(self: Any) -> Any:
        warn_renamed(f"{owner}.{old}", new)
        return getattr(self, new)

    return property(get, doc=f"The name of before of `{new}`.")
