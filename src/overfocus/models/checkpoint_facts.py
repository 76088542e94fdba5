"""What a checkpoint says beside its weights: of which network they are, and what its classes are called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from overfocus.models.checkpoint_files import Checkpoint

UNNAMED = re.compile(r"LABEL_\d+")
"""What transformers calls classes that nobody named."""


class Network(NamedTuple):
    """A network by its name for `create_model`, and its settings."""

    name: str
    settings: Mapping[str, Any]


def network_of(checkpoint: Checkpoint) -> Network | None:
    """Return the network that a checkpoint says it is of: one of our exports, of timm, or of torchvision's scripts."""
    config = checkpoint.config
    name = config.get("architecture")
    if isinstance(name, str):
        ours = "settings" in config and "id2label" in config
        arguments = config.get("settings" if ours else "model_args") or {}
        settings = {key: value for key, value in arguments.items() if key not in ("num_classes", "in_chans")}
        return Network(name if ours else f"timm:{name}", settings)
    arguments = arguments_of(checkpoint)
    content = checkpoint.content if arguments else {}
    name = arguments.get("model")
    if isinstance(name, str) and "arch" in content:
        given = arguments.get("model_kwargs") or {}
        return Network(f"timm:{content['arch']}", given if isinstance(given, Mapping) else {})
    return Network(name, {}) if isinstance(name, str) and "val_crop_size" in arguments else None


TRANSFORMERS = "transformers:"
"""Before the kind of a network that transformers makes, such as transformers:vit."""
# What a config.json of transformers says beside the constructor's settings, which the data says anew or nothing needs.
NO_SETTINGS = (
    "model_type", "architectures", "transformers_version", "torch_dtype", "dtype", "id2label", "label2id", "num_labels",
    "num_channels", "problem_type", "auto_map", "_name_or_path",
)  # fmt: skip


def built_as(checkpoint: Checkpoint) -> Network | None:
    """Return the network by its name for `create_model`, of a folder of transformers too; None where it is not said."""
    if not is_transformers(checkpoint):
        return network_of(checkpoint)
    settings = {k: v for k, v in checkpoint.config.items() if k not in NO_SETTINGS and v is not None}
    return Network(f"{TRANSFORMERS}{checkpoint.config['model_type']}", settings)


def is_transformers(checkpoint: Checkpoint) -> bool:
    """Say whether it is a folder that transformers wrote, whose network only transformers can make."""
    return "model_type" in checkpoint.config


def arguments_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the command line that timm's or torchvision's script keeps in its file, empty where there is none."""
    content = {} if is_transformers(checkpoint) else checkpoint.content
    arguments = content.get("args") if isinstance(content, Mapping) else None
    return arguments if isinstance(arguments, Mapping) else vars(arguments) if hasattr(arguments, "__dict__") else {}


def class_names(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """Return the names of the classes in the order of the logits, None where the checkpoint does not say them all.

    They are `class_to_idx`, `id2label`, `label2id`, `idx_to_class`, or a list called `classes`, `class_names` or
    `label_names`, of the file itself, its arguments or hyperparameters, or the `config.json` beside it.
    """
    for table in checkpoint.tables():
        for key in ("class_to_idx", "label2id"):
            value = table.get(key)
            if isinstance(value, Mapping) and (names := _in_order({n: name for name, n in value.items()})):
                return names
        for key in ("id2label", "idx_to_class"):
            value = table.get(key)
            if isinstance(value, Mapping) and (names := _in_order(value)):
                return names
        for key in ("classes", "class_names", "label_names"):
            value = table.get(key)
            if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
                return tuple(value)
    return None


def _in_order(numbered: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """Return the names by number, None where the numbers are not 0 to K - 1 or the names are made up."""
    try:
        names = {int(number): name for number, name in numbered.items()}
    except (TypeError, ValueError):
        return None
    found = [names.get(number) for number in range(len(numbered))]
    named = bool(found) and all(isinstance(name, str) for name in found) and len(names) == len(numbered)
    return None if not named or all(UNNAMED.fullmatch(str(name)) for name in found) else tuple(map(str, found))
