"""Specs: methods as text, `cutmix(prob=0.5) + sgdrop(drop=0.3)`, and back.

The folder is the registry. Other packages add to it by an entry point in the group `overfocus.methods`, whose name is
that of the method and whose value is its class: `checkerboard = "my_package.checkerboard:Checkerboard"`.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Set
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from overfocus import regularizers
from overfocus.core.deprecation import with_new_names
from overfocus.core.errors import OverfocusError, UnknownName, nearest
from overfocus.core.registry import classes_in
from overfocus.regularizers.regularizer import Chain, Regularizer

GROUP = "overfocus.methods"
"""The entry points by which a package adds methods."""


class SpecError(OverfocusError, ValueError):
    """A text that is not a method; the text quotes it and says how one is written."""


def parse(spec: str | Regularizer) -> Regularizer:
    """Read a spec such as `"cutmix(prob=0.5) + sgdrop(drop=0.3, unit='position')"`; `parse(str(method)) == method`.

    `"plain"` and the empty text are the empty chain; a method is returned as it is. The text is read as a syntax tree
    and never evaluated. Raises UnknownName, with the nearest known name, for a method or a setting that is not there,
    and SpecError for anything that is not a spec.
    """
    if isinstance(spec, Regularizer):
        return spec
    text = spec.strip() or "plain"
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        open_setting = "? is for `overfocus tune`, which finds a value" if "?" in spec else error.msg
        raise _not_a_spec(spec, open_setting) from None
    return _method(tree, spec)


@cache
def methods() -> dict[str, type[Regularizer]]:
    """Return every method by name: a file of this folder that holds a class of its own name, and what installed
    packages add.
    """
    files = classes_in(regularizers, Regularizer)
    own = {name: kind for name, kind in files.items() if kind.__name__.lower() == name}  # not `regularizer` itself
    return dict(sorted((_from_packages({*own, "plain"}) | own).items()))


def _from_packages(taken: Set[str]) -> dict[str, type[Regularizer]]:
    """Return the methods that other packages add under names that are not `taken`; one that cannot be is a warning and
    not the end of all.
    """
    found = {}
    for point in entry_points(group=GROUP):
        try:
            found[point.name] = _loaded(point, taken)
        except Exception as error:  # whatever the code of others raises while it is imported
            package = point.dist.name if point.dist else point.value
            warnings.warn(f"the method {point.name!r} of the package {package} is left out: {error}", stacklevel=2)
    return found


def _loaded(point: EntryPoint, taken: Set[str]) -> type[Regularizer]:
    """Load the class behind an entry point; OverfocusError where it is no method of that name."""
    kind = point.load()
    if not (isinstance(kind, type) and issubclass(kind, Regularizer) and is_dataclass(kind)):
        raise OverfocusError(f"{point.value} is no method; give a frozen dataclass that is an overfocus.Regularizer")
    if kind.__name__.lower() != point.name:
        raise OverfocusError(
            f"its class is called {kind.__name__}; a spec is read back by that name, so call the entry point "
            f"{kind.__name__.lower()!r}"
        )
    if point.name in taken:
        raise OverfocusError("overfocus has a method of that name; call it otherwise")
    return kind


def card(name: str) -> str:
    """Return the card of a method: what it does, source, formula, settings, limits."""
    if name not in methods():
        raise UnknownName("method", name, methods())
    kind = methods()[name]
    return (import_module(kind.__module__).__doc__ or kind.__doc__ or "").strip()


def _method(tree: ast.expr, spec: str) -> Regularizer:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return _method(tree.left, spec) + _method(tree.right, spec)
    if isinstance(tree, ast.Name):
        return Chain() if tree.id == "plain" else _build(tree.id, [], {})
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        members = [_method(argument, spec) for argument in tree.args]
        return _build(tree.func.id, members, _settings(tree.func.id, tree.keywords, spec))
    raise _not_a_spec(spec, f"found {ast.unparse(tree)!r}")


def _build(name: str, members: list[Regularizer], settings: dict[str, Any]) -> Regularizer:
    if name not in methods():
        raise UnknownName("method", name, [*methods(), "plain"])
    kind = methods()[name]
    known = {field.name for field in fields(kind)}
    if members and "members" not in known:
        raise SpecError(f"{name}: settings are written with their names, {name}({next(iter(sorted(known)))}=...)")
    if members:
        settings["members"] = tuple(members)
    return kind(**settings)


def _settings(name: str, keywords: list[ast.keyword], spec: str) -> dict[str, Any]:
    kind = methods().get(name, Chain)
    known = [field.name for field in fields(kind)]
    settings: dict[str, Any] = {}
    for keyword in keywords:
        if name in methods() and keyword.arg not in {*known, *kind.renamed}:
            raise SpecError(f"{name} has no setting {keyword.arg!r}; {nearest(str(keyword.arg), known)}")
        try:
            settings[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError:
            raise _not_a_spec(
                spec,
                f"{keyword.arg}={ast.unparse(keyword.value)} is neither a number, nor True or False, nor text "
                "in quotes",
            ) from None
    return with_new_names(name, settings, kind.renamed)


@cache
def respelled(spec: str, *, old: bool = False) -> str:
    """Return a `spec` by the names that its settings have now, or by those of the version before, if `old`: folders and
    records of that version hold them.
    """
    tree = ast.parse(spec, mode="eval")
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        new_names = methods().get(ast.unparse(call.func), Chain).renamed
        names = {new: old for old, new in new_names.items()} if old else new_names
        for keyword in call.keywords:
            keyword.arg = names.get(str(keyword.arg), keyword.arg)
    return ast.unparse(tree)


def _not_a_spec(spec: str, why: str) -> SpecError:
    return SpecError(
        f"not a method: {spec!r} ({why}); write for example \"cutmix(prob=0.5) + sgdrop(unit='position')\""
    )
