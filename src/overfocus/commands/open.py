"""Models and pictures brought together into a window to play in."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.data import Dataset
from overfocus.data.decode import first_size
from overfocus.diagnosis.checkpoints import (
    CheckpointOptions,
    classifier_of,
    dataset_for,
    preprocess_for,
    run_of,
    split_of,
)
from overfocus.diagnosis.classifier import Classifier
from overfocus.study.work import device_of
from overfocus.training.processes import Machine
from overfocus.viewer.pictures import PictureList
from overfocus.viewer.server import serve
from overfocus.viewer.window import Model, Window

MOST_MODELS = 6


@dataclass(frozen=True)
class OpenRequest:
    """Which models are asked about which pictures."""

    models: tuple[str, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the data, such as {"data.name": "totem"}; empty for that of the first run."""
    split: str = ""
    options: CheckpointOptions = field(default_factory=CheckpointOptions)
    limit: int = 200
    """Pictures that are offered, and training pictures among which the nearest are searched, each balanced over the
    classes; 0 for all.
    """
    port: int = 0
    browser: bool = True
    device: str = "auto"


def window_of(request: OpenRequest) -> Window:
    """Return the window of some models: they are shown the same pictures, as the first of them was trained.

    The pictures are those of `diagnose`. Where a run's own data cannot be read, there are only those that are dropped.
    Raises OverfocusError as `classifier_of` and `dataset_for` do.
    """
    if len(request.models) > MOST_MODELS:
        raise OverfocusError(f"open: {len(request.models)} models; give {MOST_MODELS} at most")
    dataset, lost = _dataset(request)
    device = device_of(Machine(request.device))
    classifiers = [classifier_of(each, dataset, request.options, device) for each in request.models]
    models = tuple(Model(*pair) for pair in zip(_named(classifiers), request.models, strict=True))
    if dataset is None:
        how = preprocess_for(request.models[0], request.options) or Preprocess()
        pictures = PictureList(None, _sized(how, None), len(classifiers[0].mean))
        return Window(models, pictures, None, models[0].name, (lost,))
    name, split = split_of(dataset, request.split)
    how = _sized(dataset.preprocess, dataset)
    pictures, channels = PictureList(split, how, split.images.channels, request.limit), split.images.channels
    training = dataset.splits.get("train")
    trained_on = None if training is None else PictureList(training, how, channels, request.limit)
    title = f"{', '.join(each.name for each in models)} on {dataset.name}, split {name}"
    return Window(models, pictures, trained_on, title, tuple(filter(None, [dataset.note])))


@contextmanager
def opened(request: OpenRequest) -> Iterator[str]:
    """Serve the window of a request while the block runs; give the link, which the browser is sent to if wished."""
    window = window_of(request)
    with serve(window, request.port) as link:
        if request.browser:
            webbrowser.open(link)
        yield link


def open_window(request: OpenRequest, on_link: Callable[[str], None]) -> None:
    """Serve the window of a request until the process is stopped; `on_link` is called with the link."""
    with opened(request) as link:
        on_link(link)
        forever = Event()
        while not forever.wait(3600):
            pass


def _dataset(request: OpenRequest) -> tuple[Dataset | None, str]:
    """Return the data, or None with the reason where it is a run's own and cannot be read."""
    try:
        dataset, _ = dataset_for(request.models, dict(request.data), request.options)
    except OverfocusError as error:
        sized = preprocess_for(request.models[0], request.options) if _is_known(request) else None
        if sized is None or sized.size is None:
            raise
        return None, f"The data of the run cannot be read ({error}); drop pictures, or give --data."
    if dataset.multi_label:
        raise OverfocusError("open is for images with one class each, and these have several labels (data.labels)")
    return dataset, ""


def _is_known(request: OpenRequest) -> bool:
    return "data.name" not in request.data and run_of(request.models[0]) is not None


def _sized(how: Preprocess, dataset: Dataset | None) -> Preprocess:
    """Return how pictures are read and fitted, those of one stored size to that."""
    size = how.size
    if size is None and dataset is not None:
        size = first_size(next(iter(dataset.splits.values())).images)
    return replace(how, size=size, mean=(), std=(), channel_order="rgb")


def _named(classifiers: list[Classifier]) -> list[Classifier]:
    """Number classifiers that have one name."""
    names = [each.name for each in classifiers]
    return [
        each if names.count(each.name) == 1 else replace(each, name=f"{each.name} #{number}")
        for number, each in enumerate(classifiers, start=1)
    ]
