"""The commands that take a finished run: its scores, and its network for use elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from overfocus.cli import options as o

app = typer.Typer()


@app.command()
def evaluate(  # noqa: PLR0913
    run: o.Run,
    split: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Which splits, or all together; default all but the training images. Repeatable."
        ),
    ] = None,
    refit: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Also fit the last layer anew to the training images of this set, and score that."
        ),
    ] = None,
    group: o.Group = None,
    flip_test: Annotated[
        bool, typer.Option("--flip-test", help="Score the mean logits of each picture and of its mirror.")
    ] = False,
    confusion: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Also write how many images of each class are named as each class."),
    ] = None,
    best: o.Best = False,
    root: o.Root = None,
    as_json: o.Json = False,
) -> None:
    """Evaluate a run's weights on its data.

    Accuracy stands beside the share of the largest class, which is the accuracy of that class for everything; below it
    are the scores in which every class counts the same, precision and recall of each class, and the most confused
    pairs. Where groups are known, from training or by --group, the worst of them stands there too, beside what it is
    by chance.

    A network that fails without a cue may still know others: --refit shows what its features hold that its own last
    layer does not use, beside the features of the same network before training.

    \b
    overfocus evaluate runs/first --split test --best --confusion confusion.csv
    overfocus evaluate runs/first --refit totem-digit
    """
    from overfocus.report.confusion import write_confusion
    from overfocus.report.terminal.answers import answers_tables
    from overfocus.report.terminal.tables import label_tables, refit_table, scores_table
    from overfocus.training.checkpoint import report_run
    from overfocus.training.refit import refit_run

    scores, answers = report_run(run, split or [], best=best, root=root, flip_test=flip_test, group=group)
    if confusion is not None:
        write_confusion(confusion, answers)
    reports = {name: report.as_dict() for name, report in answers.items()}
    refitted = refit_run(run, refit, split or [], best=best, root=root) if refit is not None else None
    if as_json:
        scores = {name: {**each, **reports.get(name, {})} for name, each in scores.items()}
        print(json.dumps(scores if refitted is None else {"scores": scores, "refit": asdict(refitted)}))
        return
    if "labels" in next(iter(scores.values()), {}):
        label_tables({"scores": scores, "why": next(iter(scores.values()))["thresholds"]})
        return
    scores_table(scores, reports=reports)
    answers_tables(reports)
    if refitted is not None:
        refit_table(scores, refitted)


@app.command()
def export(
    run: o.Run,
    to: Annotated[str, typer.Option("--to", metavar="KIND", help="safetensors, torch-export or onnx.")] = "safetensors",
    out: Annotated[Path | None, typer.Option(help="Folder to write; default export-KIND in the run.")] = None,
    best: o.Best = False,
    root: o.Root = None,
    as_json: o.Json = False,
) -> None:
    """Write a run's network for use without overfocus.

    Its logits are compared with the run's on real images first. Beside it lie config.json and a card for the Hugging
    Face hub.

    \b
    safetensors    the weights; torchvision's and timm's networks load them
    torch-export   model.pt2, for torch.export.load; takes pixels in [0, 1]
    onnx           model.onnx, for ONNX Runtime; takes pixels in [0, 1]

    The two programs take pictures of any size: they fit and normalise them.

    \b
    overfocus export runs/first --to onnx
    """
    from overfocus.export.export import export_run

    exported = export_run(run, to, out, best=best, root=root)
    if as_json:
        print(json.dumps(exported))
        return
    print(f"equal on {exported['images']} images, logits differ by {exported['largest_difference']:.1e} at most")
    if "largest_difference_resized" in exported:
        off = exported["largest_difference_resized"]
        print(f"on a few as they are stored, resized inside, probabilities differ by {off:.1e} at most")
    print(*(Path(exported["folder"]) / name for name in exported["files"]), sep="\n")
