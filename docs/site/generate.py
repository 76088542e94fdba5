"""Write the pages that come from the code: cards of methods and maps, the public names, how to add a method, and the
notebooks, executed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import mkdocs_gen_files
import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

from overfocus.attribution import catalogue
from overfocus.regularizers import spec

ROOT = Path(__file__).parents[2]


def write(name: str, text: str) -> None:
    with mkdocs_gen_files.open(name, "w") as page:
        page.write(text)


def cards(title: str, lead: str, names: Iterable[str], card: Callable[[str], str]) -> str:
    """Return a page of cards, each as it stands in its file."""
    parts = [f"# {title}\n\n{lead}\n"]
    for name in names:
        head, _, rest = card(name).partition("\n")
        parts.append(f"## {name}\n\n{head}\n\n```text\n{rest.strip()}\n```\n")
    return "\n".join(parts)


def names() -> str:
    """Return a page that asks for every public name; methods and data are classes and functions alike."""
    stub = (ROOT / "src" / "overfocus" / "__init__.pyi").read_text(encoding="utf-8")
    home = {name: module for module, name in re.findall(r"from \.(\S+) import ([a-zA-Z]\w*)", stub)}
    homes = [f"::: overfocus.{home[name]}.{name}" for name in sorted(home, key=str.lower)]
    return "# Python\n\nEvery name here is `overfocus.NAME`.\n\n" + "\n\n".join(homes) + "\n"


def adding() -> str:
    """Return the part of CONTRIBUTING about new methods, and how another package adds one."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = re.search(r"## A new method is one file\n(.*?)\n## ", text, re.DOTALL)
    example = ROOT / "examples" / "plugin" / "src" / "overfocus_checkerboard" / "checkerboard.py"
    assert part is not None
    return (
        f"# Adding a method\n\n## Here: one file\n{part[1]}\n\n## From a package of your own\n\n"
        "An entry point in the group `overfocus.methods` names the class; specs, commands and studies then find it.\n\n"
        '```toml\n[project.entry-points."overfocus.methods"]\n'
        'checkerboard = "overfocus_checkerboard.checkerboard:Checkerboard"\n```\n\n'
        f"```python\n{example.read_text(encoding='utf-8')}```\n"
    )


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom in an empty folder."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=900, coalesce_streams=True, resources={"metadata": {"path": folder}}).execute()
    return notebook


def write_notebook(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write text and outputs of an executed notebook as a page with its pictures."""
    settings = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
    text, resources = MarkdownExporter().from_notebook_node(notebook, settings)
    for name, content in resources["outputs"].items():
        with mkdocs_gen_files.open(f"notebooks/{name}", "wb") as picture:
            picture.write(content)
    write(f"notebooks/{path.stem}.md", f"{text}\n[This page as a notebook]({path.name})\n")


write(
    "methods.md",
    cards("Methods", "As `overfocus methods NAME` prints them. Chain them with `+`.", spec.methods(), spec.card),
)
write(
    "maps.md",
    cards("Maps", "Methods of attribution, as `overfocus maps NAME` prints them.", catalogue.methods(), catalogue.card),
)
write("api.md", names())
write("adding.md", adding())

# Side by side, and each on one thread: their networks are too small for two.
os.environ.setdefault("OMP_NUM_THREADS", "1")
paths = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
with ThreadPoolExecutor() as pool:
    for path, notebook in zip(paths, pool.map(executed, paths), strict=True):
        write_notebook(path, notebook)
