"""One run of a study: trained, evaluated on the test images, examined. What is done already is not done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import replace
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import torch

from overfocus.core.errors import OverfocusError
from overfocus.core.files import DiskFull, Taken, held, write
from overfocus.data import Dataset
from overfocus.diagnosis.checkpoints import CheckpointOptions, classifier_of, outsiders, split_of
from overfocus.diagnosis.diagnosis import Diagnosis
from overfocus.diagnosis.effort import studied
from overfocus.diagnosis.examination import diagnose
from overfocus.study.answers import Answers, predict
from overfocus.study.compute import flops_of
from overfocus.study.engines.engine import Job, Outcome
from overfocus.study.groups import check_groups
from overfocus.study.run_key import ANSWERS, COMPUTE, DIAGNOSIS, EXAMINATION, FAILURE, RunKey, is_examined
from overfocus.study.study import Examination, Study, read_study
from overfocus.training.checkpoint import as_trained, load_run
from overfocus.training.experiment import DataSettings, Experiment
from overfocus.training.group_sums import WORST_GROUP
from overfocus.training.loop import train
from overfocus.training.processes import Machine
from overfocus.training.run import Run
from overfocus.training.trackers import tracking

LOCK = ".cell"


def do(job: Job) -> Outcome:
    """Do what is left of a run. An error is written into its folder and returned, never raised."""
    torch.set_num_threads(job.threads)
    folder = job.key.folder(job.study)
    try:
        with held(folder / LOCK, f"{folder} is being done by another process"):
            (folder / FAILURE).unlink(missing_ok=True)
            return _done(job, read_study(job.study), folder)
    except Taken:
        return Outcome(job, "taken")
    except DiskFull as error:  # no fault of the run, and the next one would fare no better
        return Outcome(job, "stopped", str(error))
    except OverfocusError as error:
        return _failed(job, str(error), "")
    except Exception as error:
        return _failed(job, f"{type(error).__name__}: {error}", traceback.format_exc())


def _failed(job: Job, error: str, trace: str) -> Outcome:
    try:
        job.key.fail(job.study, error, trace)
    except (OSError, OverfocusError) as second:
        return Outcome(job, "stopped", f"{error}; and that could not be written down: {second}")
    return Outcome(job, "failed", error)


def _done(job: Job, study: Study, folder: Path) -> Outcome:
    experiment = study.experiment(job.key)
    loaded = _data(experiment)
    if study.metric == WORST_GROUP:
        check_groups(split_of(loaded)[1])
    if not Run(folder).finished:
        _train(experiment, folder, job, loaded)
    dataset = as_trained(loaded, Run(folder))
    device = device_of(job.machine)
    if not (folder / COMPUTE).is_file():
        flops = flops_of(experiment, dataset, device)
        write(folder / COMPUTE, json.dumps({"flops_per_image": flops if isfinite(flops) else None}) + "\n")
    if not (folder / ANSWERS).is_file():
        collect(experiment, folder, dataset, device).save(folder / ANSWERS)
    if not is_examined(folder, study.examine.record):
        _examine(study.examine, job.key, folder, dataset, experiment, device)
    return Outcome(job, "finished")


def _data(experiment: Experiment) -> Dataset:
    """Load the data, or return what the run before had, which mostly differs in its method alone."""
    data = experiment.data
    path = os.path.join(data.root or "", data.name)
    changed = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
    loaded = _loaded(data.model_dump_json(), experiment.seed, os.environ.get("OVERFOCUS_DATA"), changed)
    return experiment.prepared(loaded)


@lru_cache(maxsize=1)
def _loaded(data: str, seed: int, root: str | None, changed: int) -> Dataset:
    """Load the data of one run and keep it; `root` and `changed` differ where it may be other data."""
    return Experiment(data=DataSettings.model_validate_json(data), seed=seed).dataset()


def _train(experiment: Experiment, folder: Path, job: Job, dataset: Dataset) -> None:
    """Train here, or, over several devices, in processes of its own, whose launcher starts the command anew."""
    if job.machine.devices not in (1, "1"):
        return _train_apart(folder, experiment, job.machine)
    with tracking(job.log, experiment, folder) as log:
        for epoch in train(experiment, folder, job.machine, dataset=dataset):
            log(epoch)
    return None


def _train_apart(folder: Path, experiment: Experiment, machine: Machine) -> None:
    settings = folder.with_name(f".{folder.name}.toml")
    write(settings, experiment.toml())
    command = [sys.executable, "-m", "overfocus", "train", str(settings), "--out", str(folder)]
    command += ["--devices", str(machine.devices), "--accelerator", machine.accelerator]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if ended.returncode:
        raise OverfocusError(ended.stderr.strip().removeprefix("error: ")[-2000:] or f"exit code {ended.returncode}")


def device_of(machine: Machine) -> torch.device:
    """Return the device on which a finished run is evaluated and examined."""
    if machine.accelerator not in ("auto", "gpu"):
        return torch.device(machine.accelerator)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def collect(experiment: Experiment, folder: Path, dataset: Dataset, device: torch.device) -> Answers:
    """Predict all images of the test split with the last and the best weights of a finished run."""
    name, _ = split_of(dataset)
    stream = experiment.stream(dataset, name, device=device)
    known = stream.split.groups
    groups = None if known is None else known.places.numpy()
    labels, last, last_confidence = predict(load_run(folder).to(device), stream)
    if _best_is_last(Run(folder).manifest()):
        return Answers(labels, last, last_confidence, last, last_confidence, groups)
    _, best, best_confidence = predict(load_run(folder, best=True).to(device), stream)
    return Answers(labels, last, last_confidence, best, best_confidence, groups)


def _best_is_last(manifest: dict[str, Any]) -> bool:
    return manifest["best"]["epoch"] == manifest["last"]["epoch"]


def _examine(
    examine: Examination, key: RunKey, folder: Path, dataset: Dataset, experiment: Experiment, device: torch.device
) -> None:  # fmt: skip
    """Diagnose the weights of the last epoch on the sample that all runs of the study share."""
    name, split = split_of(dataset)
    sample = replace(examine.sample(split, experiment.data, device), source=dataset.note)
    classifier = replace(
        classifier_of(str(folder), dataset, CheckpointOptions(), device), name=f"{key.method}, seed {key.seed}"
    )
    own = []
    if examine.ood:
        data = experiment.data
        own = [outsiders(examine.ood, sample, examine.seed, data.root, data.on_bad_image, dataset.preprocess)]
    found = diagnose(
        classifier, sample, only=examine.sections, sections=studied(own), limit=examine.limit, seed=examine.seed,
        map=examine.map, data_name=f"{dataset.name}, split {name}",
    )  # fmt: skip
    Diagnosis(found.evidence.with_arrays({}, **{EXAMINATION: examine.record})).save(folder / DIAGNOSIS)
