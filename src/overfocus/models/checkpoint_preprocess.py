"""How pictures were preprocessed for weights, as far as they say it themselves; nothing here is a guess.

Every reader takes one format and returns a `Preprocess` with a phrase that says where it stands, or None where the
format is another. One that means what `Preprocess` cannot do is an error, not an approximation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import Preprocess
from overfocus.models.checkpoint_facts import arguments_of, network_of
from overfocus.models.checkpoint_files import Checkpoint

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
INTERPOLATIONS = {0: "nearest", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers: nearest, Lanczos, bilinear, bicubic."""
FITS: dict[str, Any] = {"center": "crop", "squash": "squash", "border": "pad"}
"""What timm calls them."""
GIVE = "give --mean and --std, or --preprocess imagenet, half, timm:NAME or torchvision:WEIGHTS"
"""What to do where weights do not say it."""
PAIRS = (("mean", "std"), ("image_mean", "image_std"), ("img_mean", "img_std"), ("norm_mean", "norm_std"))


class Known(NamedTuple):
    """A preprocessing, and where it stands."""

    preprocess: Preprocess
    whence: str


def preprocess_of(checkpoint: Checkpoint) -> Known | None:
    """Return how pictures were preprocessed for the weights, None where the checkpoint does not say.

    In this order: `preprocessor_config.json`, `config.json` (timm's `pretrained_cfg`, our exports), the arguments of
    timm's and of torchvision's scripts, mean and std in the file or its hyperparameters.
    """
    for reader in (_huggingface, _config, _timm_arguments, _torchvision_arguments, _numbers):
        if known := reader(checkpoint):
            return known
    return None


def of_name(name: str) -> Known:
    """Return a preprocessing by its name: `imagenet` and `half` (mean and std alone), `timm:NAME` or
    `torchvision:NAME_Weights.TAG` (size, crop and interpolation too).

    Raises OverfocusError for a name that is none.
    """
    if name in ("imagenet", "half"):
        mean, std = IMAGENET if name == "imagenet" else HALF
        return Known(Preprocess(mean=mean, std=std), f"--preprocess {name}")
    source, _, rest = name.partition(":")
    if source == "timm" and rest:
        return Known(of_timm(timm_config(rest, {})), f"--preprocess {name}")
    if source == "torchvision" and rest:
        return Known(of_torchvision(rest), f"--preprocess {name}")
    raise OverfocusError(
        f"--preprocess {name!r}; give imagenet, half, timm:NAME (as timm:resnet50.a1_in1k) or torchvision:WEIGHTS (as "
        "torchvision:ResNet50_Weights.IMAGENET1K_V2)"
    )


def of_timm(config: Mapping[str, Any]) -> Preprocess:
    """Return what a `pretrained_cfg` of timm, or what its `resolve_data_config` returns, means."""
    mode = config.get("crop_mode") or "center"
    if mode not in FITS:
        raise OverfocusError(f"timm's crop_mode {mode!r} is not known; give --mean, --std, --size and --fit")
    mean, std = tuple(config["mean"]), tuple(config["std"])
    stated = config.get("interpolation") or "bicubic"
    interpolation: Any = stated if stated in ("bilinear", "nearest") else "bicubic"  # also for lanczos, random
    around: dict[str, Any] = {"background": _shade(mean)} if mode == "border" else {}
    return Preprocess(
        size=tuple(config["input_size"][-2:]), fit=FITS[mode], crop_share=_share(config.get("crop_pct") or 0.875),
        interpolation=interpolation, mean=mean, std=std, **around,
    )  # fmt: skip


def of_torchvision(name: str) -> Preprocess:
    """Return what the transforms of a member of torchvision's enums mean, such as ResNet50_Weights.IMAGENET1K_V2."""
    from torchvision.models import get_weight

    try:
        preset: Any = get_weight(name).transforms()
    except (ValueError, KeyError, AttributeError) as error:
        raise OverfocusError(
            f"torchvision has no weights {name!r}; such a name is ResNet50_Weights.IMAGENET1K_V2"
        ) from error
    size, resized = preset.crop_size[0], preset.resize_size[0]
    return Preprocess(
        size=size,
        crop_share=_share(size / resized),
        interpolation=preset.interpolation.value,
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def timm_config(name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how timm's scripts preprocess for a model of this name under these arguments."""
    try:
        from timm.data.config import resolve_data_config
        from timm.models import get_pretrained_cfg
    except ImportError as error:
        raise OverfocusError(f"timm:{name}: timm is not installed; pip install 'overfocus[timm]'") from error
    try:
        config = get_pretrained_cfg(name, allow_unregistered=False)
    except (RuntimeError, KeyError, ValueError) as error:
        raise OverfocusError(f"timm:{name} is no model of timm ({error}); `overfocus models` names them") from error
    return resolve_data_config(dict(arguments), pretrained_cfg=config.to_dict() if config else {})


def _huggingface(checkpoint: Checkpoint) -> Known | None:
    """Read transformers' `preprocessor_config.json`."""
    if not checkpoint.preprocessor:
        return None
    where, c = "preprocessor_config.json", _with_defaults(checkpoint)
    factor = c.get("rescale_factor", 1 / 255) if c.get("do_rescale", True) else 1.0
    if not math.isclose(factor, 1 / 255, rel_tol=1e-3):
        raise OverfocusError(f"{where}: rescale_factor {factor} is not 1/255; give --mean, --std and --size")
    plain = not c.get("do_normalize")
    mean, std = ((0.0,) * 3, (1.0,) * 3) if plain else (_floats(c.get("image_mean")), _floats(c.get("image_std")))
    if not mean or not std:
        return None
    order: Any = "bgr" if c.get("do_flip_channel_order") else "rgb"
    interpolation: Any = INTERPOLATIONS.get(c.get("resample", 2), "bilinear")
    return Known(
        Preprocess(mean=mean, std=std, channel_order=order, interpolation=interpolation, **_geometry(c, where)), where
    )


def _with_defaults(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the settings with those that its class in transformers, which the file names, adds."""
    if "image_processor_type" not in checkpoint.preprocessor:
        return checkpoint.preprocessor
    try:
        from transformers import AutoImageProcessor
    except ImportError as error:
        raise OverfocusError("transformers is not installed; pip install 'overfocus[huggingface]'") from error
    try:
        made = AutoImageProcessor.from_pretrained(
            checkpoint.path.parent, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise OverfocusError(
            f"{checkpoint.path.parent / 'preprocessor_config.json'}: {reason}; give --preprocess"
        ) from error
    return made.to_dict()


def _geometry(c: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return size, fit and crop share of a `preprocessor_config.json`."""
    if not c.get("do_resize", True) and not c.get("do_center_crop"):
        return {}
    size, cut = _sides(c.get("size")), _sides(c.get("crop_size")) if c.get("do_center_crop") else None
    if isinstance(size, int) and "ConvNext" in str(c.get("image_processor_type", c.get("feature_extractor_type"))):
        if size >= 384:
            return {"size": size, "fit": "squash"}
        return {"size": size, "crop_share": _share(c.get("crop_pct") or 0.875)}
    if isinstance(size, int) and isinstance(cut, tuple):
        return {"size": cut, "crop_share": _share(min(cut) / size)}
    if isinstance(size, tuple):
        inner = cut if isinstance(cut, tuple) else size
        if math.isclose(inner[0] / size[0], inner[1] / size[1], rel_tol=0.01):
            return {"size": inner, "fit": "squash", "crop_share": _share(inner[0] / size[0])}
    raise OverfocusError(f"{where}: size {c.get('size')} and crop {c.get('crop_size')} name no one size of all "
                         "pictures; give --size, --mean and --std")  # fmt: skip


def _sides(value: Any) -> int | tuple[int, int] | None:
    """Return the shorter side, or height and width."""
    if isinstance(value, Mapping):
        if "shortest_edge" in value:
            return int(value["shortest_edge"])
        return (int(value["height"]), int(value["width"])) if {"height", "width"} <= value.keys() else None
    return (value, value) if isinstance(value, int) else None


def _config(checkpoint: Checkpoint) -> Known | None:
    """Read the `config.json` of timm, or of our own export."""
    config = checkpoint.config
    own = config.get("pretrained_cfg")
    if isinstance(own, Mapping) and own.get("mean"):
        return Known(of_timm(own), "pretrained_cfg in config.json")
    if "preprocess" in config:
        return Known(Preprocess.read(config["preprocess"], "preprocess in config.json"), "config.json")
    if {"mean", "std", "image_size"} <= config.keys():  # of an older export
        return Known(Preprocess.of_manifest({**config, "size": config["image_size"]}), "config.json")
    return None


def _timm_arguments(checkpoint: Checkpoint) -> Known | None:
    network = network_of(checkpoint)
    if network is None or not network.name.startswith("timm:") or not arguments_of(checkpoint):
        return None
    config = timm_config(network.name.removeprefix("timm:"), arguments_of(checkpoint))
    return Known(of_timm(config), "timm's arguments in the file")


def _torchvision_arguments(checkpoint: Checkpoint) -> Known | None:
    """Read the arguments of torchvision's reference script, which normalises by ImageNet's mean and std whatever its
    arguments are.
    """
    arguments = arguments_of(checkpoint)
    if "val_crop_size" not in arguments or "val_resize_size" not in arguments:
        return None
    size, resized = arguments["val_crop_size"], arguments["val_resize_size"]
    mean, std = IMAGENET
    preprocess = Preprocess(
        size=size,
        crop_share=_share(size / resized),
        interpolation=arguments.get("interpolation") or "bilinear",
        mean=mean,
        std=std,
    )
    return Known(preprocess, "the arguments of torchvision's script in the file")


def _numbers(checkpoint: Checkpoint) -> Known | None:
    """Read a mean and a std that stand as such in the file, its arguments or its hyperparameters."""
    for table in checkpoint.tables():
        for mean_key, std_key in PAIRS:
            mean, std = _floats(table.get(mean_key)), _floats(table.get(std_key))
            if mean and std and len(mean) == len(std):
                scale = 255.0 if max(*mean, *std) > 1 else 1.0
                mean, std = (tuple(each / scale for each in values) for values in (mean, std))
                unit = ", of 0 to 255" if scale > 1 else ""
                return Known(Preprocess(mean=mean, std=std), f"{mean_key} and {std_key} in the file{unit}")
    return None


def _floats(value: Any) -> tuple[float, ...]:
    """Return numbers of up to four channels; empty where it is something else."""
    if not hasattr(value, "__len__") or isinstance(value, str | Mapping):
        return ()
    try:
        numbers = tuple(float(each) for each in value)
    except (TypeError, ValueError):
        return ()
    return numbers if 1 <= len(numbers) <= 4 and all(math.isfinite(each) for each in numbers) else ()


def _share(value: float) -> float:
    """Return a crop share a hair smaller, so that 224 of 232 is not fitted to 231 pixels by rounding."""
    return value if value >= 1 else value * (1 - 1e-12)


def _shade(mean: tuple[float, ...]) -> tuple[int, int, int]:
    values = mean if len(mean) == 3 else (mean[0],) * 3
    red, green, blue = (round(255 * each) for each in values)
    return red, green, blue
