"""The command that checks data before anything is trained on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o

app = typer.Typer()


@app.command()
def check(
    data: Annotated[str, typer.Argument(help="A folder of images, a CSV, parquet, or hub:OWNER/NAME.")],
    out: Annotated[Path | None, typer.Option(metavar="PAGE", help="A page to write, such as check.html.")] = None,
    boxes: Annotated[Path | None, typer.Option(help="Where the objects are: CSV, COCO JSON, VOC XML or masks.")] = None,
    root: o.Root = None,
    most: Annotated[int | None, typer.Option(min=1, help="Read only a random sample of this many images.")] = None,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", metavar="SEVERITY", help="Exit with 3 on a problem, or on a warning too.")
    ] = None,
    show: o.Open = False,
    as_json: o.Json = False,
) -> None:
    """Check a data set before training on it.

    Reads every file once and says what it found: classes that can be told by the file alone, test pictures in the
    training part, duplicates, conflicting labels, unreadable files, uneven classes, formats, sizes and depths.

    \b
    overfocus check photos --out check.html
    """
    from overfocus.checks.check import Severity
    from overfocus.commands.check import check
    from overfocus.core.errors import OverfocusError, UnknownName
    from overfocus.report.checks.page import write_page
    from overfocus.report.terminal.checks import print_report, reading_bar

    limits = {"warning": Severity.WARNING, "problem": Severity.PROBLEM}
    if fail_on is not None and fail_on not in limits:
        raise UnknownName("severity", fail_on, limits)
    if show and out is None:
        raise OverfocusError("check: --open shows the page; say where to write it, such as --out check.html")
    with reading_bar(quiet=as_json) as on_progress:
        report = check(data, root=root, boxes=boxes, most=most, on_progress=on_progress)
    if out is not None:
        write_page(report, out)
    print(json.dumps(report.as_dict())) if as_json else print_report(report)
    if out is not None and not as_json:
        print(f"page: {out}")
    if out is not None and show:
        typer.launch(out.absolute().as_uri())
    if fail_on is not None and report.severity >= limits[fail_on]:
        raise typer.Exit(3)
