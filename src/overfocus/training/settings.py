"""Strict settings: frozen, no unknown keys, and errors that name the nearest known one."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from overfocus.core.errors import OverfocusError, nearest

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Settings that a person writes: in TOML, on the command line, in Python."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def read(cls: type[S], values: dict[str, Any], source: str) -> S:
        """Check `values`; OverfocusError names `source`, the key, what is wrong, and what is possible."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise OverfocusError("\n".join(f"{source}: {_told(cls, each)}" for each in error.errors())) from None


def _told(cls: type[BaseModel], error: Any) -> str:
    place = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        known = _fields(cls, place[:-1])
        return f"no setting {'.'.join(place)!r}; {nearest(place[-1], known)}"
    if error["type"] == "value_error":  # raised by a check of ours, which says it all
        return str(error["ctx"]["error"])
    return f"{'.'.join(place)} = {error.get('input')!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _fields(cls: Any, path: list[str]) -> list[str]:
    """Return the settings of the table at `path`; a table that may be left out is a union with None."""
    for part in path:
        annotation = cls.model_fields[part].annotation
        cls = next(kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "model_fields"))
    return list(cls.model_fields)
