"""What users get: a wheel with all that it needs and nothing else, declared imports, types that their checker sees."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import overfocus

try:
    import tomllib
except ModuleNotFoundError:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SOURCE = ROOT / "src" / "overfocus"


def name_of(requirement):
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def imports(path):
    """Return the packages that a file imports: (when it is imported itself, later)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) for inner in ast.walk(node)}
    late |= {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    found = (set(), set())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found[id(node) in late].update(name.partition(".")[0] for name in names)
    return found


def test_every_import_is_declared():
    """What a file imports at its head is needed always, but for the files of one integration; the rest is an extra."""
    pytest.importorskip("mlflow", reason="with all extras installed, so that each import tells its package")
    needed = {name_of(each) for each in PROJECT["dependencies"]}
    extra = {name_of(each) for extra in PROJECT["optional-dependencies"].values() for each in extra}
    provided = packages_distributions()
    for path in sorted(SOURCE.rglob("*.py")):
        for names, declared in zip(imports(path), (needed, needed | extra | {"autoattack"})):
            allowed = declared | extra if path.parent.name == "integrations" else declared
            for name in names - set(sys.stdlib_module_names) - {"overfocus", "__future__", "tomllib", ""}:
                packages = {each.lower().replace("_", "-") for each in provided.get(name, [name])}
                assert packages & allowed, f"{path.relative_to(ROOT)} imports {name}, which pyproject does not name"


def test_the_version_stands_in_one_place():
    said = re.search(r'__version__ = "(.+)"', (SOURCE / "version.py").read_text())[1]
    assert overfocus.__version__ == said
    assert "version" in PROJECT["dynamic"]


def test_the_extras_name_one_another_rightly():
    extras = PROJECT["optional-dependencies"]
    every = re.search(r"\[(.*)\]", extras["all"][0])[1].split(",")
    assert set(every) == set(extras) - {"all", "bench", "dev", "docs"}


def interpreter(version):
    """Return a Python of `version` of this machine, on the path or pyenv's, or None."""
    found = [shutil.which(f"python{version}"), *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))]
    for python in filter(None, found):
        said = subprocess.run([str(python), "-V"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and said.stdout.startswith(f"Python {version}."):
            return str(python)
    return None


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_every_promised_python_can_read_the_source(version, tmp_path):
    """A quote within an f-string, say, is an error before 3.12. What runs is tested by `make test-lowest` and by CI."""
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    command = [python, "-W", "error", "-m", "compileall", "-q", str(SOURCE)]
    read = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stdout + read.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel, installed into a folder that comes before this checkout."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {f"overfocus/{path.relative_to(SOURCE).as_posix()}" for path in SOURCE.rglob("*") if path.is_file()}
    assert {name for name in files if "__pycache__" not in name} == {n for n in names if n.startswith("overfocus/")}
    assert "overfocus/py.typed" in names
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs", "runs"))]
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_the_installed_package_trains_and_reports_elsewhere(installed, tmp_path):
    given = {**os.environ, "PYTHONPATH": str(installed)}

    def ask(*words):
        done = subprocess.run(
            [sys.executable, "-m", "overfocus", *words],
            cwd=tmp_path,
            env=given,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-c", "import overfocus; print(overfocus.__file__)"]
    assert str(installed) in subprocess.run(where, cwd=tmp_path, env=given, capture_output=True, text=True).stdout
    assert overfocus.__version__ in ask("--version")
    tiny = ["--per-class", "2", "--epochs", "1", "--set", "model.settings.widths=[4,8,8]"]
    ask("train", *tiny, "--out", "run")
    ask("diagnose", "run", "--limit", "6", "--only", "spread,hiding", "--out", "page")
    assert (tmp_path / "page" / "diagnosis.html").stat().st_size > 10_000
    (script,) = (installed / "bin").glob("overfocus*")
    assert overfocus.__version__ in subprocess.run(
        [sys.executable, str(script), "--version"], env=given, capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


@pytest.mark.slow
def test_a_users_type_checker_sees_the_types(installed, tmp_path):
    pytest.importorskip("pyright")
    (tmp_path / "user.py").write_text(
        "import torch\n"
        "import overfocus as of\n\n"
        "model = of.create_model('resnet18', 10)\n"
        "objective = of.Objective(model, of.CutMix(prob=0.5) + of.SGDrop(drop=0.3))\n"
        "loss: torch.Tensor = objective(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))\n"
        "images, targets = of.cutmix(torch.zeros(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))\n"
        "reveal_type(targets)\n"
        "wrong: int = of.parse('cutmix')\n"
    )
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{installed.as_posix()}"]}}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "user.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert 'Type of "targets" is "Targets"' in said
    errors = [line for line in said.splitlines() if " error:" in line]
    assert len(errors) == 1, said
    assert "user.py:9" in errors[0]
