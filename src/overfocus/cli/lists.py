"""The commands that list what can be named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from overfocus.cli import options as o

app = typer.Typer()
Name = Annotated[str | None, typer.Argument(help="Show the whole card of this method.")]


@app.command()
def methods(name: Name = None, as_json: o.Json = False) -> None:
    """List the methods, or show the card of one.

    A card says what the method does, its source, its settings with units, and when it does not help.

    \b
    overfocus methods cutmix
    """
    from overfocus.regularizers import spec

    _show_cards(spec, name, as_json, lambda head: head.partition(": ")[2])


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show only names that contain this.")] = None,
    as_json: o.Json = False,
) -> None:
    """List the models.

    Families stand on one line; with a name, or a part of one, every model of it is listed, timm's as well.

    \b
    overfocus models resnet
    """
    from overfocus.commands import catalogue

    rows = catalogue.models(name)
    _show(rows if name else catalogue.families(rows), dict(rows), as_json)


@app.command()
def datasets(as_json: o.Json = False) -> None:
    """List the data sets and layouts.

    \b
    overfocus datasets
    """
    from overfocus.data import names

    _show(names(), dict(names()), as_json)


@app.command()
def metrics(as_json: o.Json = False) -> None:
    """List the metrics of a diagnosis.

    Each with the direction that is better and its formula.

    \b
    overfocus metrics
    """
    from overfocus.commands import catalogue

    rows = [(f"{metric.title} {metric.arrow}".rstrip(), metric.formula) for _, metric in catalogue.metrics()]
    _show(rows, dict(rows), as_json)


@app.command()
def maps(name: Name = None, as_json: o.Json = False) -> None:
    """List the methods of attribution, or show the card of one.

    They map where a classifier looks.

    \b
    overfocus maps gradcam
    """
    from overfocus.attribution import catalogue

    _show_cards(catalogue, name, as_json, lambda head: head)


def _show_cards(catalogue: Any, name: str | None, as_json: bool, summary: Callable[[str], str]) -> None:
    """Print the card `name` of a catalogue, or a line of every card."""
    cards = {each: catalogue.card(each) for each in ([name] if name else catalogue.methods())}
    if name and not as_json:
        print(cards[name])
    else:
        _show([(each, summary(card.partition("\n")[0])) for each, card in cards.items()], cards, as_json)


def _show(rows: list[tuple[str, str]], texts: dict[str, str], as_json: bool) -> None:
    from overfocus.report.terminal.tables import names_table

    print(json.dumps(texts)) if as_json else names_table(rows)
