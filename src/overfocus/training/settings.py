"""Strict settings: frozen, no unknown keys, and errors that name the nearest known one."""

from __future__ import annotations

from dataclasses import fields
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from overfocus.core.errors import OverfocusError, nearest

S = TypeVar("S", bound="Settings")


def _several(folds: int) -> int:
    if folds == 1:
        raise ValueError("folds = 1: give 2 at least, or 0 for none")
    return folds


Folds = Annotated[int, Field(ge=0), AfterValidator(_several)]
"""Parts of a cross-validation; 0 for none."""


class Settings(BaseModel):
    """Settings that a person writes: in TOML, on the command line, in Python."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def read(cls: type[S], values: dict[str, Any], source: str) -> S:
        """Check `values`; OverfocusError names `source`, the key, what is wrong, and what is possible."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise OverfocusError("\n".join(f"{source}: {_message(cls, each)}" for each in error.errors())) from None


def _message(cls: type[BaseModel], error: Any) -> str:
    keys = [str(part) for part in error["loc"]]
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"no setting {'.'.join(keys)!r}; {nearest(keys[-1], _fields(cls, keys[:-1]))}"
    if error["type"] == "value_error":  # raised by a check of ours, which says it all
        return str(error["ctx"]["error"])
    return f"{'.'.join(keys)} = {error.get('input')!r}: {error['msg'][0].lower()}{error['msg'][1:]}"


def _fields(cls: Any, path: list[str]) -> list[str]:
    """Return the settings of the table at `path`, a model or a dataclass; an optional table is a union with None."""
    for part in path:
        annotation = get_type_hints(cls)[part]
        cls = next(
            kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and kind is not NoneType
        )
    return list(cls.model_fields) if issubclass(cls, BaseModel) else [field.name for field in fields(cls)]
