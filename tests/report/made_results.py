"""Results of a study made in memory, whose numbers are planted; only what lies in a run's folder is on disk."""

from __future__ import annotations

import numpy as np

from overfocus.diagnosis.evidence import Evidence
from overfocus.diagnosis.fillings import FILLINGS
from overfocus.study.answers import Answers
from overfocus.study.results import Result, Results
from overfocus.study.run_key import RunKey
from overfocus.study.study import settle_study
from overfocus.training.run import Epoch

PLAIN, CUTOUT, SGDROP = "plain", "cutout", "sgdrop"
METHODS = (PLAIN, CUTOUT, SGDROP)
SHARES = np.array([0.0, 0.2, 0.5], np.float32)
IMAGES = 1000
FOLLOWED = {"follows_disc": 0.7, "follows_digit": 0.2, "follows_none": 0.1}
"""What the answers on the split `conflict` follow, in every run."""


def score(value, title="a score", better="higher", unit=""):
    return {"value": value, "low": None, "high": None, "n": 10, "title": title, "unit": unit, "better": better}


def sections_of(wide, draw):
    """Return the sections of an examination whose effective area is `wide`."""
    near = [float(np.clip(each + 0.01 * draw.normal(), 0, 1)) for each in (0.8, 0.3, 0.6, 0.2)]
    attacks = zip(("clean", "fgsm", "pgd_2", "pgd_8"), near)
    scores = {
        "halves": {"half": score(wide, "accuracy, half hidden"), "whole": score(near[0], "accuracy, nothing hidden"),
                   **{f"half_{fill}": score(wide * near[0], f"accuracy, {fill}") for fill in FILLINGS}},
        "spread": {"effective_area_predicted": score(wide, "effective area", unit="of the map"),
                   "occlusion_area_predicted": score(wide / 2, "effective area by occlusion", unit="of the picture"),
                   "gini_true": score(0.5, "Gini, true class")},
        "hiding": {"overfocus": score(1 - wide, "overfocus score", "lower")},
        "robustness": {name: score(value, f"accuracy, {name}") for name, value in attacks},
        "localization": {"max_box_acc_v2": score(near[2], "MaxBoxAccV2"),
                         "centre_box_v2": score(0.25, "centre box, V2"),
                         "whole_picture_v2": score(0.26, "whole picture, V2")},
        "focus": {"energy_inside": score(wide, "energy inside"), "part_digit": score(near[3], "attribution on digit"),
                  "part_rest": score(1 - near[3], "attribution on the rest of the picture")},
    }  # fmt: skip
    return {name: {"title": name, "sentence": "", "scores": of} for name, of in scores.items()}


def answers_of(right, classes=2, confidence=None):
    """Return answers of which a share is right, spread evenly over the classes; those of the best epoch are 0.02
    better.
    """
    labels = np.arange(IMAGES) % classes
    said, best = (
        np.where(np.arange(IMAGES) < round(share * IMAGES), labels, (labels + 1) % classes)
        for share in (right, right + 0.02)
    )
    sure = np.linspace(0.5, 1, IMAGES, dtype=np.float32) if confidence is None else confidence
    return Answers(labels, said, sure, best, sure)


def epochs_of(right, splits):
    def scores(part):
        own = {"accuracy": part * right, "loss": 1 / part, "images": IMAGES}
        return {name: {**own, **(FOLLOWED if name == "conflict" else {})} for name in splits}

    parts = (0.5, 0.8, 1.0)
    return tuple(Epoch(n, 1.0, 100.0, 0.1, {}, scores(part)) for n, part in enumerate(parts, 1))


def made(folder, methods=METHODS, seeds=5, *, right=None, wide=None, noise=0.005, examined=True, splits=("test",),
         classes=("one", "two"), missing=(), failed=None, **sizes):  # fmt: skip
    """Return results; right, wide: method -> mean accuracy and mean effective area, 0.8 and 0.3 unless given.

    Every seed shifts all methods alike, and every run a little by itself.
    """
    study = settle_study(None, {"methods": list(methods), "seeds": seeds, "data.name": "totem", **sizes}, [])
    results, absent = {}, []
    for cell in study.run_keys():
        if cell in missing or cell in (failed or {}):
            absent += [cell] * (cell in missing)
            continue
        own = np.random.Generator(np.random.Philox([study.methods.index(cell.method) + 1, cell.seed]))
        shift = 0.01 * np.random.Generator(np.random.Philox(cell.seed)).normal()
        accuracy = float(np.clip((right or {}).get(cell.method, 0.8) + shift + noise * own.normal(), 0, 1))
        width = (wide or {}).get(cell.method, 0.3) + shift + noise * own.normal()
        sections = sections_of(width, own) if examined else {}
        manifest = {"classes": list(classes), "seconds": 2.5, "best": {"note": "chosen on val"}}
        results[cell] = Result(cell, cell.folder(folder), manifest, epochs_of(accuracy, splits),
                               answers_of(accuracy, len(classes)), sections)  # fmt: skip
    return Results(study, folder, results, failed or {}, tuple(absent))


def with_evidence(results, kept):
    """Write what hiding leaves: kept(cell) -> accuracy at each share [S], of the salient part and of its control."""
    for cell, result in results.results.items():
        arrays = {"hiding/shares": SHARES}
        for kind, values in zip(("salient", "blobs"), kept(cell)):
            right = np.arange(100)[None] < np.round(100 * np.asarray(values))[:, None]
            arrays[f"hiding/{kind}/right"] = right.astype(np.float32)
        (result.path / "diagnosis").mkdir(parents=True, exist_ok=True)
        Evidence(arrays, {}).save(result.path / "diagnosis" / "evidence.npz")
    return results


def size_of(results):
    return results.study.sizes[0]


def cell_of(results, method, seed):
    return RunKey(method, size_of(results), seed)
