"""Studies on disk for the tests of the report: one run is trained in earnest, the others are copies with planted
numbers.
"""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from zlib import crc32

import numpy as np

from overfocus.diagnosis.evidence import Evidence
from overfocus.regularizers.spec import parse
from overfocus.study.answers import Answers
from overfocus.study.engines.engine import Job
from overfocus.study.run_key import EXAMINATION, RunKey
from overfocus.study.study import Study, claimed, settle_study
from overfocus.study.work import do

METHODS = {"plain": 0.80, "cutout": 0.86, "sgdrop": 0.79}
"""Method -> the accuracy that it is given."""
QUICK = ("spread", "focus", "localization", "hiding", "confidence")


def small_study(methods: Collection[str] = tuple(METHODS), seeds: int = 3, **changes) -> Study:
    """Return a study on the embedded set, changed by keys such as recipe__epochs=2."""
    values = {
        "methods": list(methods), "seeds": seeds, "data.name": "totem", "model.settings": {"widths": [4, 8]},
        "recipe.epochs": 1, "recipe.batch": 64, "recipe.precision": "32-true", "examine.limit": 20,
    }  # fmt: skip
    return settle_study(None, values | {key.replace("__", "."): value for key, value in changes.items()}, [])


@lru_cache(maxsize=2)
def trained(attacked: bool) -> Path:
    """Train and examine one run; return its folder. attacked: with the attacks, which take half of the time."""
    place = Path(mkdtemp(prefix="study-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    sections = [*QUICK, *["robustness"] * attacked]
    study = claimed(place, small_study(["plain"], 1, fraction=[0.02], examine__sections=sections))
    cell = next(study.run_keys())
    outcome = do(Job(place, cell))
    assert outcome.state == "finished", outcome.error
    return cell.folder(place)


def planted(
    folder: Path,
    study: Study,
    accuracy: Mapping[str, float] = METHODS,
    *,
    noise: float = 0.01,
    missing: Collection[RunKey] = (),
    failed: Mapping[RunKey, str] | None = None,
    classes: list[str] | None = None,
    attacked: bool = False,
) -> Path:
    """Write `study` as if it had been done: every run has the accuracy of its method, a share that its seed has in
    common with all methods, and noise of its own. Return the folder. attacked: see `trained`.
    """
    claimed(folder, study)
    accuracy = {str(parse(method)): share for method, share in accuracy.items()}
    for cell in study.run_keys():
        if cell in (failed or {}):
            cell.fail(folder, failed[cell])
        elif cell not in missing:
            _plant(trained(attacked), cell, folder, study, accuracy[cell.method], noise, classes)
    return folder


def _plant(
    source: Path, cell: RunKey, folder: Path, study: Study, accuracy: float, noise: float, classes: list[str] | None
) -> None:
    run = cell.folder(folder)
    skipped = shutil.ignore_patterns("checkpoint", "*.safetensors", ".*")
    shutil.copytree(source, run, ignore=skipped)
    draw = np.random.Generator(np.random.Philox(crc32(str(cell).encode())))
    common = np.random.Generator(np.random.Philox(cell.seed)).normal(0, 0.02)
    (run / "experiment.toml").write_text(study.experiment(cell).toml())
    reached = min(accuracy + common + noise * draw.normal(), 0.98)
    _epochs(run, reached, draw)
    _answers(run, reached, draw)
    _scores(run, study, draw)
    _maps(run, draw)
    if classes:
        manifest = json.loads((run / "manifest.json").read_text())
        (run / "manifest.json").write_text(json.dumps(manifest | {"classes": classes}))


def _epochs(run: Path, accuracy: float, draw: np.random.Generator) -> None:
    """Give the run three epochs that rise to its accuracy on the first split, and to less on the others."""
    last = json.loads((run / "epochs.jsonl").read_text().splitlines()[-1])
    lines = []
    for number, share in enumerate((0.6, 0.9, 1.0), 1):
        scores = {
            split: {"accuracy": accuracy * share * 0.8 ** (place > 0), "loss": 3 - share - accuracy, "images": 1000}
            for place, split in enumerate(last["scores"])
        }
        lines.append(json.dumps({**last, "number": number, "scores": scores, "seconds": float(draw.uniform(1, 2))}))
    (run / "epochs.jsonl").write_text("\n".join(lines) + "\n")


def _answers(run: Path, accuracy: float, draw: np.random.Generator) -> None:
    """Give the run so many right answers of the last epoch, to the image, and one in a hundred more of the best."""
    old, count = Answers.load(run / "answers.npz"), 1000
    labels = old.labels[:count]
    order, said = draw.permutation(count), []
    for share in (accuracy, accuracy + 0.01):
        wrong = order[round(share * count) :]
        answers = labels.copy()
        answers[wrong] = (labels[wrong] + 1) % 10
        said.append(answers)
    sure = draw.uniform(0.3, 1, count).astype(np.float32)
    Answers(labels, said[0], sure, said[1], sure).save(run / "answers.npz")


def _scores(run: Path, study: Study, draw: np.random.Generator) -> None:
    path = run / "diagnosis" / "scores.json"
    content = json.loads(path.read_text())
    content["about"][EXAMINATION] = study.examine.record
    for section in content["sections"].values():
        for score in section["scores"].values():
            if score["value"] is not None:
                score["value"] = (score["value"] or 0.1) * float(np.exp(0.1 * draw.normal()))
    path.write_text(json.dumps(content))


def _maps(run: Path, draw: np.random.Generator) -> None:
    path = run / "diagnosis" / "evidence.npz"
    evidence = Evidence.load(path)
    maps, logits = evidence.arrays["maps/predicted"], evidence.arrays["logits"]
    peaks = np.exp(draw.normal(size=maps.shape)).astype(np.float32)
    noise = draw.normal(size=logits.shape).astype(np.float32)
    evidence.with_arrays({"maps/predicted": maps * peaks, "logits": logits + noise}).save(path)
