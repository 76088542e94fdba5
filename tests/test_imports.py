"""Imports go one way: core -> data, models, attribution, metrics, regularizers -> checks -> training, statistics ->
diagnosis -> study -> downstream, export, integrations -> report -> viewer -> commands -> cli; no two
files import one another.
"""

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import overfocus

SOURCE = Path(overfocus.__file__).parent
LEVELS = [
    {"core", "version"},
    {"renamed"},
    {"data", "models", "attribution", "metrics", "regularizers"},
    {"checks"},
    {"training", "statistics"},
    {"diagnosis"},
    {"study"},
    {"downstream", "export", "integrations"},
    {"report"},
    {"viewer"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LEVELS) for part in parts}
PEERS = {("attribution", "models")}
FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Collect the modules that a file imports, wherever in it; `from overfocus import data` is overfocus.data."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively; write the whole name"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def arrows(path: Path) -> set[str]:
    """Collect the parts of the package that a file depends on."""
    own = [name.split(".") for name in imported(path) if name.split(".")[0] == "overfocus" and "." in name]
    return {name[1] for name in own if name[1] in LEVEL} - {part_of(path)}


def allowed(source: str, target: str) -> bool:
    return LEVEL[target] < LEVEL[source] or (source, target) in PEERS


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    part = part_of(path)
    assert part in LEVEL, f"{part} is not in the design's order; say in LEVELS where it belongs"
    wrong = {target for target in arrows(path) if not allowed(part, target)}
    assert not wrong, f"{path.relative_to(SOURCE)} imports {sorted(wrong)}, which comes after {part} or beside it"


def files_imported() -> dict[str, set[str]]:
    """Return module -> the modules of the package that it imports, wherever in it."""
    names = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in FILES}
    found = {}
    for name, path in names.items():
        mentioned = imported(path)
        found[name] = {other for each in mentioned for other in (each, each.rpartition(".")[0]) if other in names}
        found[name].discard(name)
    return found


def test_no_files_import_one_another():
    try:
        TopologicalSorter(files_imported()).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


def test_core_imports_only_torch_and_what_torch_brings():
    outside = {name.split(".")[0] for path in FILES if part_of(path) == "core" for name in imported(path)}
    known = {"overfocus", "torch", "numpy", "scipy"}
    assert not {name for name in outside - known if name not in __import__("sys").stdlib_module_names}


def test_an_arrow_back_is_seen():
    assert not allowed("core", "training")
    assert not allowed("regularizers", "attribution")
    assert not allowed("models", "attribution")
    assert allowed("attribution", "models")
    assert allowed("cli", "core")


def test_no_class_name_occurs_twice():
    trees = {path: ast.parse(path.read_text()) for path in FILES}
    names = [node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert [name for name, count in Counter(names).items() if count > 1] == []
