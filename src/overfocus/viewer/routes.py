"""What a page can ask: plain functions of a window and a request body that return what JSON can hold."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from overfocus.attribution.catalogue import card, methods
from overfocus.core.edit import apply_all
from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.place import FoundPlace
from overfocus.diagnosis.fillings import FILLINGS
from overfocus.report.label import label
from overfocus.viewer import bodies, drawn
from overfocus.viewer.answer import BLOBS, CONTROLS, HIDDEN, answer, look, paints
from overfocus.viewer.neighbours import nearest, pooled
from overfocus.viewer.window import Model, Window

UPLOAD = 20 * 2**20
"""Bytes that a dropped file may have."""
NEAREST = 8
"""Training pictures that are shown."""


def setup(window: Window, body: bodies.Empty) -> dict[str, Any]:
    """Return what the page needs before the first picture."""
    split = window.pictures.split
    return {
        "title": window.title, "notes": list(window.notes), "size": list(window.pictures.size),
        "models": [{"name": label(each.name).short, "note": each.note} for each in window.models],
        "classes": [] if split is None else [label(each).short for each in split.classes],
        "count": window.pictures.own, "trained_on": 0 if window.trained_on is None else window.trained_on.own,
        "methods": [{"name": name, "what": card(name).partition("\n")[0]} for name in methods()],
        "fills": [{"name": name, "what": text} for name, text in FILLINGS.items() if name != "patch"],
        "hidden": list(HIDDEN), "controls": CONTROLS, "blobs": BLOBS, "upload": UPLOAD,
    }  # fmt: skip


def pictures(window: Window, body: bodies.Listed) -> dict[str, Any]:
    """Return some of the data's pictures, small; one that cannot be read has its error in its place."""
    split = window.pictures.split
    rows = list(range(window.pictures.own))
    if body.label and split is not None:
        names = [label(each).short for each in split.classes]
        if body.label not in names:
            raise UnknownName("class", body.label, names)
        rows = [row for row in rows if window.pictures.label(row) == names.index(body.label)]
    return {
        "total": len(rows),
        "pictures": [drawn.small(window.pictures, row) for row in rows[body.first : body.first + body.count]],
    }


def show(window: Window, body: bodies.One) -> dict[str, Any]:
    """Return a picture as the networks are shown it."""
    return drawn.whole(window.pictures[body.index], body.index)


def upload(window: Window, body: bodies.Dropped) -> dict[str, Any]:
    """Take a picture file, and return it as `show` does."""
    try:
        data = b64decode(body.data, validate=True)
    except ValueError as error:
        raise OverfocusError(f"{body.name}: not base64") from error
    if len(data) > UPLOAD:
        raise OverfocusError(f"{body.name}: {len(data) >> 20} MiB; give a file of {UPLOAD >> 20} MiB at most")
    return show(window, bodies.One(index=window.pictures.add(data, body.name)))


def answers(window: Window, body: bodies.Stroke) -> dict[str, Any]:
    """Return what every model answers before and after the edits, and with as much changed elsewhere."""
    window.strokes.came(body.page, body.stroke)
    original, found, shown = window.pictures[body.index].pixels, [], []
    for model in window.models:
        with model.lent() as classifier:
            window.strokes.check(body.page, body.stroke)
            edits = body.made(window.pictures, classifier.fill.cpu())
            found.append(drawn.answered(model, answer(classifier, original, edits, body.key)))
        shown.append(apply_all(original, edits))
    return {"stroke": body.stroke, "image": drawn.png(shown[0]), "answers": found}


def heat_map(window: Window, body: bodies.Mapped) -> dict[str, Any]:
    """Return the map of one model's answer, and what it answers as what is salient is hidden."""
    _check_method(body.method)
    model = _model(window, body.model)
    with model.lent() as classifier:
        mean = classifier.fill.cpu()
        changed = _changed(window, body, mean)
        fill = paints(changed, mean, body.key)[body.fill]
        found = look(classifier, changed, body.method, fill, body.key)
    return {
        "class": label(model.classes[found.target]).short, "note": found.note, "image": drawn.png(changed),
        "heat": drawn.heat(found.map, window.pictures.size), "fill": drawn.png(fill.expand_as(changed)),
        "salient": drawn.hidden_steps(model, found.steps[0], found.salient, found.target),
        "elsewhere": drawn.hidden_steps(model, found.steps[1], found.elsewhere, found.target),
    }  # fmt: skip


def neighbours(window: Window, body: bodies.Chosen) -> dict[str, Any]:
    """Return the training pictures whose features are most like those of the picture as it is edited."""
    known = window.trained_on
    if known is None or not known.own:
        raise OverfocusError("the pictures that the model was trained on are not at hand; give them with --data")
    model = _model(window, body.model)
    features = model.features(known)
    with model.lent() as classifier:
        changed = _changed(window, body, classifier.fill.cpu())
        near = nearest(pooled(classifier, changed[None])[0], features, NEAREST)
    shown = [{**drawn.small(known, row), "similarity": round(value, 3)} for row, value in near]
    return {"of": known.own, "pictures": shown}


def place(window: Window, body: bodies.Chosen) -> dict[str, Any]:
    """Return what is edited as a place, with the answer that it changed; see `core.place`."""
    if not body.edits:
        raise OverfocusError("nothing is painted over; paint a part of the picture first")
    model, shown = _model(window, body.model), window.pictures[body.index]
    with model.lent() as classifier:
        edits = body.made(window.pictures, classifier.fill.cpu())
        found = answer(classifier, shown.pixels, edits, body.key)
    target, mask = int(found.before.argmax()), edits[0].mask
    for each in edits[1:]:
        mask = mask | each.mask
    values = {name: round(float(getattr(found, name)[target]), 5) for name in ("before", "after", "elsewhere")}
    fills = tuple(dict.fromkeys(each.filling for each in edits))
    return FoundPlace(mask, model.classes[target], model.source, shown.name, shown.label, fills, values).as_dict()


def sheet(window: Window, body: bodies.OneMethod) -> dict[str, Any]:
    """Return a picture to keep: as it is and edited, with every model's map and answer."""
    _check_method(body.method)
    with window.models[0].lent() as classifier:
        changed = _changed(window, body, classifier.fill.cpu())
    shown = window.pictures[body.index]
    return {"image": drawn.sheet(window.title, shown, changed, body.method, list(window.models))}


def _changed(window: Window, body: bodies.Edited, mean: Tensor) -> Tensor:
    return apply_all(window.pictures[body.index].pixels, body.made(window.pictures, mean))


def _model(window: Window, number: int) -> Model:
    if number >= len(window.models):
        raise OverfocusError(f"no model {number}; there are {len(window.models)}, from 0")
    return window.models[number]


def _check_method(name: str) -> None:
    if name not in methods():
        raise UnknownName("method of attribution", name, methods())


class Route(NamedTuple):
    """A function with the body that it takes."""

    body: type[bodies.Body]
    function: Callable[[Window, Any], dict[str, Any]]


ROUTES = {
    "setup": Route(bodies.Empty, setup),
    "pictures": Route(bodies.Listed, pictures),
    "show": Route(bodies.One, show),
    "upload": Route(bodies.Dropped, upload),
    "answers": Route(bodies.Stroke, answers),
    "map": Route(bodies.Mapped, heat_map),
    "neighbours": Route(bodies.Chosen, neighbours),
    "place": Route(bodies.Chosen, place),
    "sheet": Route(bodies.OneMethod, sheet),
}
"""Name -> what answers it."""


def call(window: Window, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return what the route `name` says; OverfocusError for an unknown key, or a value that does not do."""
    route = ROUTES[name]
    return route.function(window, route.body.read(values))
