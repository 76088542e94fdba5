"""What a study will take, from a few steps that are tried before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from overfocus.data import Dataset
from overfocus.diagnosis.checkpoints import check_outsiders, split_of
from overfocus.diagnosis.effort import studied
from overfocus.diagnosis.examination import chosen
from overfocus.diagnosis.price import prices
from overfocus.study.compute import Compute, compute_of
from overfocus.study.run_key import RunKey, Size
from overfocus.study.study import Study
from overfocus.training.experiment import DataSettings, Experiment
from overfocus.training.run import Run

STARTUP = 2.0
"""Seconds in which a run loads its data and network."""
WORK = 1.5
"""What an examination takes of a small network's time for its passes: pictures are changed as well."""


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a study."""

    runs: int
    """Of the whole grid."""
    finished: int
    """Those that are finished already."""
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
    """Try every method for a few steps on this machine and estimate the rest. Raises what a run would: unknown data, a
    network that does not fit, more images of a class than there are.
    """
    torch.set_num_threads(study.threads)
    check_outsiders(study.examine.ood, study.data.root)
    keys = list(study.run_keys())
    left = [key for key in keys if key.state(folder, study.examine.record) != "finished"]
    trained = {key for key in left if Run(key.folder(folder)).finished}
    seed, largest = keys[0].seed, study.sizes[-1]
    datasets = {size: study.experiment(RunKey(study.baseline, size, seed)).dataset() for size in study.sizes}
    experiments = {method: study.experiment(RunKey(method, largest, seed)) for method in study.methods}
    compute = {method: compute_of(each, datasets[largest], device) for method, each in experiments.items()}
    baseline = experiments[study.baseline]
    evaluation = _evaluation(baseline, datasets[largest], device)
    examination = _examination(study, baseline.data, datasets[largest]) * evaluation * WORK
    seconds = sum(
        examination
        + _seconds(study, key, datasets[key.size], None if key in trained else compute[key.method], evaluation)
        for key in left
    )
    parameters = _parameters(baseline, datasets[largest])
    return Forecast(
        len(keys), len(keys) - len(left), {str(size): _budget(study, size, data) for size, data in datasets.items()},
        tuple(compute.values()), study.baseline, seconds / max(1, min(workers, len(left) or 1)),
        sum(_bytes(study, parameters, datasets[largest], key in trained) for key in left), workers,
    )  # fmt: skip


def _budget(study: Study, size: Size, dataset: Dataset) -> dict[str, int]:
    recipe = study.experiment(RunKey(study.baseline, size, 0)).recipe
    images = len(dataset.splits["train"])
    epochs = recipe.epochs_for(images)
    return {"images": images, "epochs": epochs, "updates": epochs * -(-images // recipe.batch)}


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


def _seconds(study: Study, key: RunKey, dataset: Dataset, compute: Compute | None, evaluation: float) -> float:
    """Return what one run takes but for its examination: steps, evaluations, the answers of two sets of weights;
    nothing of that where `compute` is None, for a run that is trained.
    """
    if compute is None:
        return STARTUP
    images = len(split_of(dataset)[1])
    recipe = study.experiment(key).recipe
    epochs = recipe.epochs_for(len(dataset.splits["train"]))
    steps = epochs * len(dataset.splits["train"]) / compute.batch
    return STARTUP + steps * compute.seconds + (epochs / recipe.evaluate_every + 2) * images * evaluation


def _examination(study: Study, data: DataSettings, dataset: Dataset) -> int:
    """Return how many images an examination passes forward; the test images are the same at every size."""
    if not study.examine.sections:
        return 0
    sample = study.examine.sample(split_of(dataset)[1], data)
    sections, _ = chosen(sample, study.examine.sections, studied())
    return sum(prices(sections, sample).values())


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
