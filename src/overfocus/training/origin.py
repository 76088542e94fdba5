"""What weights bring to the settings of a training: their network, and how pictures were preprocessed for them.

It is written out when settings are read, so that a run says it itself and needs neither the file nor the hub again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess, Size
from overfocus.models.checkpoint_facts import built_as
from overfocus.models.checkpoint_files import read_checkpoint
from overfocus.models.checkpoint_preprocess import GIVE, of_name, preprocess_of
from overfocus.models.hub import PREFIX, pinned
from overfocus.models.pretrained import DEFAULT_TAG, fitted_to, only_at_its_size, pretrained_weights

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

PREPROCESS = ("fit", "crop_share", "interpolation", "orientation", "intensity", "background")
WITHOUT_GPU = 128
"""Side in pixels of the pictures that a pretrained network is tuned on, unless a size is given."""
WEIGHTS = ("weights.safetensors", "best.safetensors")
"""Those of a run."""


@dataclass(frozen=True)
class Origin:
    """What weights say of themselves, as settings."""

    model: Mapping[str, Any] = field(default_factory=dict)
    """Name and settings of the network; empty where they do not say it."""
    preprocess: Preprocess | None = None
    """None where they do not say it."""
    whole: bool = False
    """Whether pictures are of the very size that is said, as for a run's."""
    tag: str = ""
    """Which published weights of the network they are."""


def data_settings(how: Preprocess) -> dict[str, Any]:
    """Return the settings of `DataSettings` that read and fit pictures as `how` says."""
    size = {} if how.size is None else {"size": how.size}
    return {**{name: getattr(how, name) for name in PREPROCESS}, **size}


def as_pretrained(values: Any) -> Any:
    """Write out in settings what pretrained weights bring: which they are in full, their network, how pictures are
    preprocessed for them, and that they are tuned. What is given goes before it.
    """
    tables = {name: values.get(name, {}) for name in ("data", "model", "recipe")} if isinstance(values, dict) else {}
    if not tables or not all(isinstance(table, dict) for table in tables.values()):
        return values
    given, data, recipe = _named_by_place(tables["model"]), tables["data"], tables["recipe"]
    placed = given is not tables["model"]
    origin = _origin(given, written_out={*PREPROCESS, "mean", "std"} <= data.keys() and "name" in given)
    if origin is None:
        return values
    if placed and not origin.model:
        raise OverfocusError(
            f"model {tables['model']['name']!r} does not say of which network it is; give --model NAME, and the place "
            "as --weights"
        )
    model = _with(given, origin.model)
    if given.get("pretrained"):
        model["pretrained"] = origin.tag
    brought = _brought(str(model.get("name", "")), origin)
    data = {**brought, **data}
    if placed or given.get("pretrained"):
        said = origin.model.get("settings", {})
        size = fitted_to(str(model.get("name", "")), data.get("size"), said.get("img_size"))
        settings = {**said, **size, **given.get("settings", {})}
        model |= {"settings": settings} if settings else {}
    tune = {"tune": "lp-ft"} if placed or given.get("pretrained") else {}
    filled = {"data": data, "model": model, "recipe": {**tune, **recipe}}
    return {**values, **{name: table for name, table in filled.items() if table or name in values}}


def is_place(name: str) -> bool:
    """Say whether the name of a network is that of a folder, written with a slash, or of a repository of the hub."""
    return name.startswith(PREFIX) or ("/" in name and ":" not in name)


def check_normalised(model: Any, data: Any) -> None:
    """Raise OverfocusError where pictures for weights would be normalised by a guess."""
    if model.weights and data.mean is None:
        raise OverfocusError(f"weights {model.weights}: it is not known how their pictures were normalised; {GIVE}")


def _named_by_place(model: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a network that is named by where it lies as those of weights there."""
    place = str(model.get("name", ""))
    if not is_place(place):
        return model
    if model.get("weights"):
        raise OverfocusError(f"model {place!r} has weights of its own; leave --weights out, or name the network")
    if not place.startswith(PREFIX) and not Path(place).is_dir():
        raise OverfocusError(
            f"model {place!r}: no such folder; give one with config.json, or a name (`overfocus models`)"
        )
    revision = str(model.get("pretrained") or DEFAULT_TAG)
    if place.startswith(PREFIX):
        place = pinned(place if "@" in place or revision == DEFAULT_TAG else f"{place}@{revision}")
    rest = {key: value for key, value in model.items() if key not in ("name", "pretrained")}
    return {**rest, "weights": place}


def _origin(model: Mapping[str, Any], *, written_out: bool) -> Origin | None:
    """Return what the weights that settings name say; None where there are none, or all of it is written there."""
    stated = of_name(str(model["preprocess"])).preprocess if model.get("preprocess") else None
    if model.get("pretrained"):
        weights = pretrained_weights(str(model.get("name", "")), str(model["pretrained"]))
        found = Origin(preprocess=weights.preprocess, tag=weights.tag)
    elif model.get("weights") and not written_out:
        found = _of_weights(str(model["weights"]))
    else:
        found = Origin() if stated else None
    return replace(found, preprocess=stated, whole=False) if found and stated else found


def _of_weights(what: str) -> Origin:
    """Return what the weights of a run, a file, a folder or a repository say."""
    path = Path(what)
    if not what.startswith(PREFIX) and not path.exists():
        return Origin()  # told where they are read; the settings of an old run can be read without them
    folder = path if path.is_dir() else path.parent
    if (folder / "manifest.json").is_file() and (path.is_dir() or path.name in WEIGHTS):
        return _of_run(folder, path)
    checkpoint = read_checkpoint(what)
    network, known = built_as(checkpoint), preprocess_of(checkpoint)
    settings = dict(network.settings) if network else {}
    model = {"name": network.name, "stem": settings.pop("stem", ""), "settings": settings} if network else {}
    return Origin(model, known.preprocess if known else None)


def _of_run(folder: Path, path: Path) -> Origin:
    own = tomllib.loads((folder / "experiment.toml").read_text(encoding="utf-8")).get("model", {})
    how = Preprocess.of_manifest(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))
    model = {
        "name": "overfocus_cnn",
        "settings": {},
        **{name: own[name] for name in ("name", "stem", "settings") if name in own},
    }
    return Origin({**model, "weights": str(folder / WEIGHTS[0] if path.is_dir() else path)}, how, whole=True)


def _with(given: dict[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the network as given, and what its weights say where it is the same one."""
    if not said or given.get("name", said["name"]) != said["name"]:
        return dict(given)
    weights = {"weights": said["weights"]} if "weights" in said else {}
    return {**said, **given, **weights, "settings": {**said["settings"], **given.get("settings", {})}}


def _brought(name: str, origin: Origin) -> dict[str, Any]:
    """Return the settings of the data that the weights bring."""
    how = origin.preprocess
    if how is None:
        return {}
    if how.channel_order != "rgb":
        raise OverfocusError(
            f"the weights want their channels in the order {how.channel_order}, in which they cannot be trained here; "
            "turn the first convolution's weights to rgb, or give other weights"
        )
    normalised = {"mean": how.mean, "std": how.std} if how.mean else {}
    if how.size is None:
        return normalised
    size = how.size if origin.whole or only_at_its_size(name) else side(how.size)
    return {**data_settings(how), **normalised, "size": size}


def side(own: Size) -> Size | int:
    """Return the size of the weights' own pictures, or what a machine without a GPU can do of it."""
    gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return own if gpu or min(own) <= WITHOUT_GPU else WITHOUT_GPU
