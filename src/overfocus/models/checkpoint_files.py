"""What lies in a file or folder of weights, read without ever running code from it.

A pickle may ask for functions. PyTorch's reader knows tensors and plain containers; a short list of harmless classes is
added to it here, those that timm, torchvision's reference scripts, Lightning and numpy write beside the weights. Any
other is refused by its name.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import types
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.models.hub import located

FOLDER_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""What transformers, timm and accelerate call the weights in a folder."""
MOST = 8
"""Checkpoints that are kept until their tensors lie in a network."""
# Mappings of tensors that are no network's.
NOT_WEIGHTS = re.compile(r"optim|schedul|scaler|rng|random|callback|loops|averaging_state", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file of weights holds."""

    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of the `config.json` beside it."""
    preprocessor: Mapping[str, Any] = field(default_factory=dict)
    """Of the `preprocessor_config.json` beside it."""

    @cached_property
    def content(self) -> Any:
        """As it was saved: a state dict, or a mapping that holds one or several somewhere."""
        return _shards(self.path) if self.path.name.endswith(".index.json") else _file(self.path)

    def state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Return every mapping that holds tensors, by the keys that lead to it, joined by dots; "" is the file itself.

        Raises OverfocusError where there is no tensor.
        """
        if not isinstance(self.content, Mapping):
            kind = type(self.content).__name__
            raise OverfocusError(f"weights {self.path}: holds a {kind}, not a state dict; save model.state_dict()")
        found = dict(_state_dicts(self.content, ""))
        if not found:
            raise OverfocusError(f"weights {self.path}: there is no tensor in it; save model.state_dict()")
        return found

    def tables(self) -> Iterator[Mapping[str, Any]]:
        """Yield what the file says beside its weights: itself, its arguments and hyperparameters, its config.json."""
        if "model_type" not in self.config and isinstance(self.content, Mapping):  # transformers writes tensors alone
            yield self.content
            for name in ("args", "hyper_parameters", "datamodule_hyper_parameters", "config", "meta"):
                value = self.content.get(name)
                if isinstance(value, argparse.Namespace | types.SimpleNamespace):
                    yield vars(value)
                elif isinstance(value, Mapping):
                    yield value
        yield self.config


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a .safetensors, .pt, .pth, .bin or .ckpt file, or a folder as transformers, timm and accelerate write it,
    which may be `hf:OWNER/NAME` of the hub. What was read is kept until it lies in a network, see `forget`.

    Raises OverfocusError where it is no checkpoint, is damaged, or would have to run code; of a folder of transformers
    where its tensors are asked for.
    """
    path = located(path)
    if path.is_dir():
        names = [name for name in FOLDER_FILES if (path / name).is_file()]
        if not names:
            raise OverfocusError(f"weights {path}: a directory without {FOLDER_FILES[0]}; give a file of weights")
        path = path / names[0]
    beside = path.parent if path.name in FOLDER_FILES else None
    stamp = _stamp(beside or path)
    if stamp not in _kept:
        config, preprocessor = (
            _json(beside / name) if beside else {} for name in ("config.json", "preprocessor_config.json")
        )
        found = Checkpoint(path, config, preprocessor)
        if "model_type" not in config:
            _ = found.content
        _kept[stamp] = found
        if len(_kept) > MOST:
            forget(next(iter(_kept.values())))
    return _kept[stamp]


def forget(checkpoint: Checkpoint) -> None:
    """Free the memory of what was read, since it lies in a network now."""
    for stamp in [stamp for stamp, kept in _kept.items() if kept is checkpoint]:
        del _kept[stamp]


_kept: dict[tuple, Checkpoint] = {}
"""Every file with its length and when it was written -> what was read: first what it says, then its tensors."""


def _stamp(path: Path) -> tuple:
    files = sorted(path.iterdir()) if path.is_dir() else [path] if path.is_file() else []
    states = [(str(each.absolute()), each.stat()) for each in files if each.is_file()]
    return (str(path.absolute()), *((name, state.st_mtime_ns, state.st_size) for name, state in states))


def _file(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise OverfocusError(f"weights {path}: {error.strerror}; give a .safetensors, .pt or .pth file") from error
    # Safetensors begins with the length of its JSON header in eight bytes; what is inside counts, not the suffix.
    return _safetensors(path) if start[8:] == b"{" else _pickle(path)


def _shards(index: Path) -> dict[str, Tensor]:
    """Return the tensors of all files that an index names, which lie beside it."""
    names = _json(index).get("weight_map", {})
    if not isinstance(names, Mapping) or any(Path(str(name)).name != name for name in names.values()):
        raise OverfocusError(f"weights {index}: its weight_map names no files beside it; copy the folder again")
    return {key: value for name in sorted(set(names.values())) for key, value in _file(index.parent / name).items()}


def _check_sums(path: Path) -> None:
    """Refuse a file whose checksums do not agree with its content, which torch.load does not look at."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # of a damaged archive it raises nearly every kind
        what = f"{type(error).__name__} {error}".strip()
        raise OverfocusError(f"weights {path}: a damaged or truncated checkpoint ({what}); copy it again") from error
    if damaged:
        raise OverfocusError(
            f"weights {path}: the checksum of {damaged} in it does not agree with its content: the file is damaged, or "
            "was saved without checksums; copy or save it again"
        )


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise OverfocusError(f"weights {path}: damaged or truncated safetensors ({error}); copy it again") from error


def _pickle(path: Path) -> Any:
    _check_sums(path)
    try:
        with (
            path.open("rb") as file,
            torch.serialization.safe_globals(harmless()),
        ):  # given a path, it goes by its suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises nearly every kind here, from EOFError to UnpicklingError
        code = re.search(r"GLOBAL ([\w.]+)|(TorchScript)", str(error))
        if code:
            load = "torch.jit.load" if code[2] else "torch.load(..., weights_only=False)"
            raise OverfocusError(
                f"weights {path}: it asks for {code[1] or code[2]}, which could run code, so it was not read. Where "
                f"you trust its origin, convert it there: open it with {load}, and torch.save what it has as state_dict"
            ) from error
        raise OverfocusError(
            f"weights {path}: no checkpoint, or a truncated one; give a state dict in .safetensors, .pt or .pth"
        ) from error


def harmless() -> list[Any]:
    """Return the classes and functions that a file may ask for beside those that PyTorch allows: they hold values only.

    Numpy and pathlib call theirs by other names from version to version. Paths become pure ones, which touch no disk
    and exist on every system.
    """
    from numpy._core import multiarray  # numpy < 2 forwards this name

    types_ = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
    paths = [
        (pure, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for pure, names in (
            (pathlib.PurePosixPath, ("PosixPath", "PurePosixPath")),
            (pathlib.PureWindowsPath, ("WindowsPath", "PureWindowsPath")),
        )
        for name in names
    ]  # fmt: skip
    arrays = [
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ]
    plain = [argparse.Namespace, types.SimpleNamespace, defaultdict, list, dict, np.dtype, np.ndarray]
    return [*plain, *types_, *paths, *arrays]


def _json(path: Path) -> dict[str, Any]:
    """Return an object of a JSON file, empty where the file is not there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise OverfocusError(f"{path}: no JSON ({error}); copy it again") from error
    return content if isinstance(content, dict) else {}


def _state_dicts(content: Mapping, label: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield label, tensors
    for name, value in content.items():
        if isinstance(value, Mapping) and not NOT_WEIGHTS.search(str(name)):
            yield from _state_dicts(value, f"{label}.{name}".lstrip("."))
