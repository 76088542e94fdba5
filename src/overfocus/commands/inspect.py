"""What a method does to real images: a picture, and its measured rates beside the nominal ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import sqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.key import Key
from overfocus.core.preprocess import Preprocess
from overfocus.data import Dataset, Minibatch, Stream
from overfocus.regularizers.regularizer import IMAGE, Regularizer
from overfocus.regularizers.spec import parse
from overfocus.report.drawing.inspection import InspectedSample, inspection_sheet
from overfocus.report.drawing.overlay import save_png
from overfocus.report.rows import Rate
from overfocus.training.checkpoint import as_trained, load_run
from overfocus.training.expected import base, expected
from overfocus.training.experiment import Experiment, data_settings, settle
from overfocus.training.objective import Objective
from overfocus.training.recorder import Recorder, SeamRecord
from overfocus.training.run import Run

BATCH = 128
BATCHES, ENCODED = 20, 8
"""Batches that are measured, and those where a network must encode them."""
PIXELS = BATCH * 64 * 64
"""Of a batch: larger images come in smaller batches, so that a measurement takes seconds and little memory."""


def inspect_method(
    spec: str,
    out: str | Path,
    *,
    data: str | None = None,
    root: str | None = None,
    size: int | None = None,
    run: str | Path | None = None,
    images: int = 8,
    seed: int = 0,
) -> dict[str, Rate]:
    """Draw the method `spec` at work on some training images into the PNG file `out`; return what was measured on many.

    The images are drawn from the training split of `data` (by default that of `run`, else `totem`) and are not
    augmented. Feature methods act in the network of `run`, or in a new OverfocusCNN. A method with a schedule is shown
    as at the end of training. Raises OverfocusError for a file that is no PNG, and for a run of other classes than the
    data has.
    """
    target = _target(Path(out))
    method = parse(spec)
    experiment = _experiment(data, root, size, run)
    dataset = _dataset(experiment, run)
    model = _network(method, experiment, dataset, run)
    stream = _stream(dataset, experiment, seed, images)
    sample, tally = _record(method, model, experiment.model.at, stream, seed)
    rates = tally.rates(expected(method, (sample.images.shape[-2], sample.images.shape[-1])))
    lines = [_caption(dataset, sample, method, experiment, run, seed), _summary(rates, tally.images)]
    save_png(inspection_sheet(str(method), lines, sample.first(images), dataset), target)
    return rates


@dataclass
class Tally:
    """Sums of what was measured, name by name; NaN stands for an image that the method did not act on."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    """Name -> [3] float64: count, sum, sum of squares."""
    images: int = 0

    def add(self, seen: SeamRecord) -> None:
        """Add a batch."""
        self.images += seen.images
        for name, values in seen.measured().items():
            known = values[~values.isnan()].double()
            sums = torch.stack((known.new_tensor(len(known)), known.sum(), known.square().sum()))
            self.sums[name] = self.sums.get(name, 0) + sums

    def rates(self, nominal: dict[str, float]) -> dict[str, Rate]:
        """Return mean, standard deviation and count of what was measured at least once, beside its `nominal` value."""
        rates: dict[str, Rate] = {}
        for name, (count, total, squares) in ((name, sums.tolist()) for name, sums in self.sums.items()):
            if count:
                variance = max(squares - total**2 / count, 0) / (count - 1) if count > 1 else None
                sd = None if variance is None else sqrt(variance)
                rates[name] = Rate(nominal=nominal.get(base(name)), measured=total / count, sd=sd, n=int(count))
        return rates


def _target(path: Path) -> Path:
    if path.suffix.lower() != ".png":
        raise OverfocusError(f"the picture is a PNG, but --out is {str(path)!r}; give a name that ends in .png")
    if path.is_dir():
        raise OverfocusError(f"{path} is a folder; give the name of a file in it, such as {path / 'method.png'}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OverfocusError(
            f"the folder {path.parent} cannot be made ({error.strerror}); give another --out"
        ) from None
    return path


def _experiment(data: str | None, root: str | None, size: int | None, run: str | Path | None) -> Experiment:
    """Return the experiment of `run`, or a new one, on `data`."""
    changes: dict[str, Any] = {"root": root} if root is not None else {}
    experiment = settle(None, {}, [])
    if run is not None:
        experiment = Run(Path(run)).experiment()
        changes |= data_settings(Preprocess.of_manifest(Run(Path(run)).manifest()))
    if size is not None:
        changes["size"] = size
    settings = experiment.data if data is None else settle(None, {"data.name": data}, []).data
    return experiment.model_copy(update={"data": settings.model_copy(update=changes)})


def _dataset(experiment: Experiment, run: str | Path | None) -> Dataset:
    """Load the data, normalised as the network of `run` knows it."""
    dataset = experiment.dataset()
    dataset.splits["train"].one_class("inspect")
    return dataset if run is None else as_trained(dataset, Run(Path(run)))


def _network(method: Regularizer, experiment: Experiment, dataset: Dataset, run: str | Path | None) -> nn.Module:
    """Return the network that feature methods act in; a method on images alone needs none."""
    if method.places <= {IMAGE}:
        return nn.Identity()
    if run is not None:
        return load_run(run)
    return experiment.create_model(len(dataset.classes), dataset.splits["train"].images.channels)


def _stream(dataset: Dataset, experiment: Experiment, seed: int, images: int) -> Stream:
    """Return the random training images that are measured, in batches of at least `images`."""
    train, size = dataset.splits["train"], experiment.data.size
    height, width = (size, size) if isinstance(size, int) else size or train.images.size(0)
    batch = max(images, min(BATCH, PIXELS // (height * width)), 2)
    rows = Key.seeded(seed).fold_in("inspect").order(len(train))[: BATCHES * batch]
    return Stream(
        train.subset(rows), batch=batch, mean=dataset.mean, std=dataset.std, size=size, train=False,
        on_bad_image=experiment.data.on_bad_image,
    )  # fmt: skip


@torch.no_grad()
def _record(method: Regularizer, model: nn.Module, at: str, stream: Stream, seed: int) -> tuple[InspectedSample, Tally]:
    """Let the method act on all batches; return the first batch and the measurements of all."""
    recorder, tally, sample = Recorder(method), Tally(), None
    objective = Objective(model, recorder, at=at, seed=seed, steps=1).train()
    objective.step.fill_(1)  # of 1: a schedule stands at its end
    encode = not method.places <= {IMAGE}
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # for layers of the model that draw from the global state
        for batch in islice(_again(stream), ENCODED if encode else BATCHES):
            probe = _act(objective, recorder, batch, encode)
            sample = sample or InspectedSample(list(recorder.seen), probe, IMAGE in method.places)
            tally.add(recorder.seen[-1])
    assert sample is not None
    return sample, tally


def _again(stream: Stream) -> Iterator[Minibatch]:
    """Yield the batches over and over: a small set is measured again with new draws."""
    while True:
        yield from stream.epoch()


def _act(objective: Objective, recorder: Recorder, batch: Minibatch, encode: bool) -> Tensor:
    """Let the method act as in training; return which pixels it touched: [B, H, W] bool.

    A draw depends on the step and the row alone, so on noise in place of the images the method touches the same pixels,
    and there a touched pixel cannot keep its value by chance.
    """
    noise = (
        Key.seeded(0).fold_in("probe").normal(len(batch.images), batch.images[0].numel()).reshape(batch.images.shape)
    )
    touched = (objective.prepare(noise, batch.labels).values != noise).any(dim=1)
    recorder.seen.clear()
    if encode:
        objective(batch.images, batch.labels)
    else:
        objective.prepare(batch.images, batch.labels)
        objective.step += 1
    return touched


def _caption(
    dataset: Dataset,
    sample: InspectedSample,
    method: Regularizer,
    experiment: Experiment,
    run: str | Path | None,
    seed: int,
) -> str:
    """Return what the picture shows."""
    height, width = sample.images.shape[-2:]
    words = [f"{dataset.name}, training images, {height} x {width}", f"seed {seed}"]
    if not method.places <= {IMAGE}:
        words.append(f"network: {run}" if run is not None else f"network: {experiment.model.name}, untrained")
    if method.scheduled:
        words.append("as at the end of training")
    return "; ".join(words)


def _summary(rates: dict[str, Rate], images: int) -> str:
    """Return the measured rates beside the nominal ones, as a sentence."""
    if not rates:
        return "nothing is changed, and nothing measured"
    parts = [f"{name.replace('_', ' ')} {rate['measured']:.3f}{_nominal(rate)}" for name, rate in rates.items()]
    return f"measured over {images:,} draws: {', '.join(parts)}; a dash below: it did not act on this image"


def _nominal(rate: Rate) -> str:
    return "" if rate["nominal"] is None else f" (nominal {rate['nominal']:.3f})"
