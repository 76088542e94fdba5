"""What a study will take: tried on a few steps, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from overfocus.data import Dataset
from overfocus.diagnosis.catalogue import SECTIONS
from overfocus.diagnosis.checkpoints import check_outsiders, split_of
from overfocus.study.compute import Compute, compute_of
from overfocus.study.run_key import RunKey, Size
from overfocus.study.study import Study
from overfocus.training.experiment import Experiment
from overfocus.training.run import Run

STARTUP = 2.0
"""Seconds in which a run loads its data and network."""


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a study."""

    runs: int
    """Of the whole grid."""
    finished: int
    """Those that stand there already."""
    steps: dict[str, dict[str, int]]
    """Data size -> epochs, updates and training images of one run: the same for every method."""
    compute: tuple[Compute, ...]
    """The cost of each method's step."""
    baseline: str
    seconds: float
    """What is left to do, on `workers` workers."""
    disk_bytes: int
    """What is left to write."""
    workers: int

    def flops_ratio(self, method: str) -> float:
        """Return the operations of a method's step over those of the baseline's."""
        known = {each.method: each.flops for each in self.compute}
        return known[method] / known[self.baseline]


def forecast(study: Study, folder: Path, workers: int, device: torch.device | str = "cpu") -> Forecast:
    """Try every method for a few steps on this machine and reckon the rest. Raises what a run would: unknown data, a
    network that does not fit, more images of a class than there are.
    """
    torch.set_num_threads(study.threads)
    cells = list(study.cells())
    check_outsiders(study.examine.ood, study.data.root)
    left = [cell for cell in cells if cell.state(folder, study.examine.record) != "finished"]
    trained = {cell for cell in left if Run(cell.folder(folder)).finished}
    seed = cells[0].seed
    datasets = {size: study.experiment(RunKey(study.baseline, size, seed)).dataset() for size in study.sizes}
    largest = study.sizes[-1]
    compute = tuple(
        compute_of(study.experiment(RunKey(method, largest, seed)), datasets[largest], device)
        for method in study.methods
    )
    of_method = {each.method: each for each in compute}
    passes = _evaluation(study.experiment(RunKey(study.baseline, largest, seed)), datasets[largest], device)
    seconds = sum(
        _seconds(study, cell, datasets[cell.size], of_method[cell.method], passes, cell in trained) for cell in left
    ) / max(1, min(workers, len(left) or 1))
    parameters = _parameters(study.experiment(RunKey(study.baseline, largest, seed)), datasets[largest])
    return Forecast(
        len(cells), len(cells) - len(left), {str(s): _budget(study, s, datasets[s]) for s in study.sizes}, compute,
        study.baseline, seconds, sum(_bytes(study, parameters, datasets[largest], cell in trained) for cell in left),
        workers,
    )  # fmt: skip


def _budget(study: Study, size: Size, dataset: Dataset) -> dict[str, int]:
    recipe = study.experiment(RunKey(study.baseline, size, 0)).recipe
    images = len(dataset.splits["train"])
    return {"images": images, "epochs": recipe.epochs, "updates": recipe.epochs * -(-images // recipe.batch)}


def _evaluation(experiment: Experiment, dataset: Dataset, device: torch.device | str) -> float:
    """Return the seconds in which an image is evaluated."""
    name, _ = split_of(dataset)
    images, _, _ = next(iter(experiment.stream(dataset, name, device=device).epoch()))
    model = experiment.create_model(len(dataset.classes), images.shape[1]).to(device).eval()
    with torch.no_grad():
        model(images)
        start = perf_counter()
        float(model(images).sum())
    return (perf_counter() - start) / len(images)


def _seconds(study: Study, cell: RunKey, dataset: Dataset, compute: Compute, evaluation: float, trained: bool) -> float:
    """Return what one run takes: steps, evaluations, the answers of two sets of weights, the examination; or that only,
    where it is trained.
    """
    _, split = split_of(dataset)
    if trained:
        return STARTUP + _examination(study, evaluation, len(split))
    recipe = study.experiment(cell).recipe
    train = recipe.epochs * len(dataset.splits["train"]) * compute.seconds / compute.batch
    evaluations = recipe.epochs / recipe.evaluate_every + 2
    return STARTUP + train + evaluations * len(split) * evaluation + _examination(study, evaluation, len(split))


def _examination(study: Study, evaluation: float, images: int) -> float:
    """Return what an examination takes, each section counted in passes over the sample."""
    passes = sum(SECTIONS[name].passes for name in study.examine.sections)
    return passes * min(study.examine.limit, images) * evaluation * 1.5


def _parameters(experiment: Experiment, dataset: Dataset) -> int:
    images = dataset.splits["train"].images
    model = experiment.create_model(len(dataset.classes), images.channels)
    return sum(each.numel() for each in (*model.parameters(), *model.buffers()))


def _bytes(study: Study, parameters: int, dataset: Dataset, trained: bool) -> int:
    """Return what one run leaves: two sets of weights, a state with momentum, answers; and, where it is trained only
    that, evidence.
    """
    images = len(split_of(dataset)[1])
    evidence = 1500 * min(study.examine.limit, images) * bool(study.examine.sections)
    if trained:
        return evidence
    return 4 * parameters * (2 + 2 + (study.recipe.ema > 0)) + 24 * images + evidence + 20_000
