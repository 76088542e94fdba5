"""Models by name: OverfocusCNN, every torchvision classifier, timm's as `timm:NAME`, those of transformers as
`transformers:KIND`, your own as `module:factory`.

torchvision, timm and transformers are imported only for names of theirs.
"""

import inspect
import logging
import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from torch import Tensor, nn

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.checkpoint_facts import TRANSFORMERS, is_transformers
from overfocus.models.checkpoint_files import forget, read_checkpoint
from overfocus.models.checkpoints import load_weights
from overfocus.models.overfocus_cnn import OverfocusCNN
from overfocus.models.pretrained import BUNDLED, DEFAULT_TAG, fill_pretrained, pretrained_weights, timm_state
from overfocus.models.surgery import replace_head, use_small_stem, with_channels
from overfocus.models.transformers_model import transformers_network, transformers_state

log = logging.getLogger(__name__)

OWN = ("overfocus_cnn", "overfocuscnn")
# Two models return more than logits in training unless set not to; their slow initialisation must be named.
NO_AUXILIARY = {"googlenet": {"aux_logits": False, "init_weights": True}}
NO_AUXILIARY["inception_v3"] = NO_AUXILIARY["googlenet"]
# Settings that `create_model` makes itself, or that would fetch or change what a classifier returns.
HELD = {
    "aux_logits", "checkpoint_path", "features_only", "in_chans", "num_classes", "pretrained", "progress", "weights",
}  # fmt: skip
# How a factory may call the number of classes and of channels.
CLASSES = ("num_classes", "classes")
CHANNELS = ("channels", "in_channels", "in_chans")
KEYWORDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def create_model(
    name: str,
    classes: int,
    *,
    channels: int = 3,
    stem: str = "",
    weights: str | Path | None = None,
    which_weights: str = "",
    pretrained: str | bool = "",
    **settings: Any,
) -> nn.Module:
    """Return a new classifier, images [B, channels, H, W] to logits [B, classes].

    name: one of `model_names`.
    stem: "small" keeps the side of small images (32 px) where the model would quarter it; empty is the model's own.
    weights: a file or folder, or `hf:OWNER/NAME`; a head of other classes stays new, which the log says, and a first
        convolution of other channels is fitted. which_weights: of several in it, as in `load_weights`.
    pretrained: a tag of published weights, "default" or True for those that are recommended; see `models.pretrained`.
        With `weights` too they are in that file, and nothing is fetched.
    settings: what the model's constructor takes.
    Raises UnknownName for a name or setting that is not known, OverfocusError for what cannot be built or loaded.
    """
    build = BUNDLED.get(name, name)
    for what, count in (("classes", classes), ("channels", channels)):
        if count < 1:
            raise OverfocusError(f"model {name!r}: {what} is {count}; give at least 1")
    if name in OWN:
        settings |= {"stem": stem} if stem else {}
        model = built(name, OverfocusCNN, settings, {"classes": classes, "channels": channels})
    else:
        model = source_of(build)(build, classes, channels, settings)
        if stem:
            use_small_stem(model, name, stem)
    if weights is None and pretrained:
        published = pretrained_weights(name, DEFAULT_TAG if pretrained is True else pretrained)
        fill_pretrained(model, published.state(settings), f"pretrained weights {published.tag} of {name}")
    if weights is not None:
        left_out = _filled(model, build, weights, which_weights, settings, published=bool(pretrained))
        if left_out:
            log.warning("weights %s: %s not taken; the head is new", weights, ", ".join(left_out))
    return model


def _filled(
    model: nn.Module, build: str, weights: str | Path, which: str, settings: dict[str, Any], *, published: bool
) -> list[str]:
    """Copy weights into a network by the tool that wrote them; return the names of the head's where it stays new.

    settings: of the constructor. published: whether they are a file of those that timm has for the network.
    """
    checkpoint = read_checkpoint(weights)
    if is_transformers(checkpoint) and build.startswith(TRANSFORMERS):
        forget(checkpoint)
        return fill_pretrained(model, transformers_state(checkpoint.path.parent), f"weights {weights}")
    own = checkpoint.config.get("architecture") == build.removeprefix("timm:")
    plain = checkpoint.content if build.startswith("timm:") and (own or published) and not which else {}
    if plain and all(isinstance(each, Tensor) for each in plain.values()):
        forget(checkpoint)
        state = timm_state(build, plain, checkpoint.config, settings)
        return fill_pretrained(model, state, f"weights {weights}")
    return load_weights(model, weights, new_head=True, new_channels=True, which=which)


def model_names() -> list[tuple[str, str]]:
    """Return every model's name with a line on what it is: torchvision's own, without its links."""
    from torchvision.models import get_model_builder

    cards = [(OWN[0], "OverfocusCNN, a small pre-activated residual network that trains in seconds at any image size")]
    cards += [(name, card_of(get_model_builder(name))) for name in torchvision_names()]
    cards += [("efficientnet_lite0", "EfficientNet-Lite0, whose ImageNet weights are installed: add --pretrained")]
    cards += [("timm:NAME", "every model of timm, such as timm:convnext_atto")]
    cards += [("hf:OWNER/NAME", "a repository of timm or transformers on the Hugging Face hub, with its weights")]
    cards += [("./FOLDER", "the same in a folder: config.json and model.safetensors")]
    return [
        *cards,
        ("package.module:factory", "what your own function returns, called with num_classes where it takes it"),
    ]


def card_of(build: Callable) -> str:
    """Return the first sentence of a builder's docstring as plain text."""
    text = (inspect.getdoc(build) or build.__name__).split("\n\n")[0]
    text = re.sub(r"`([^<`]+?)\s*<[^>]*>`_+", r"\1", " ".join(text.split()))
    return text.replace("`", "").rstrip(".")


def source_of(name: str) -> Callable[[str, int, int, dict], nn.Module]:
    """Return the function that makes models with names of this form."""
    if name.startswith("timm:"):
        return timm_model
    if name.startswith(TRANSFORMERS):
        return transformers_network
    return factory_model if ":" in name else torchvision_model


def torchvision_model(name: str, classes: int, channels: int, settings: dict) -> nn.Module:
    """Return one of torchvision's classifiers."""
    from torchvision.models import get_model_builder

    known = torchvision_names()
    if name not in known:
        raise UnknownName("model", name, closest(name, [*OWN, *BUNDLED, *known, *timm_names()]))
    build = get_model_builder(name)
    model = built(name, build, settings, {"num_classes": classes, **NO_AUXILIARY.get(name, {})})
    return with_channels(model, channels)


def timm_model(name: str, classes: int, channels: int, settings: dict) -> nn.Module:
    """Return one of timm's models, without pretrained weights."""
    known = timm_names()
    if not known:
        raise OverfocusError(f"model {name!r}: timm is not installed; pip install timm")
    plain = name.partition(".")[0]
    if plain not in known:
        raise UnknownName("model", name, closest(name, known))
    from timm.models import model_entrypoint

    build = model_entrypoint(plain.removeprefix("timm:"))
    return built(name, build, settings, {"num_classes": classes, "in_chans": channels})


def factory_model(name: str, classes: int, channels: int, settings: dict) -> nn.Module:
    """Return what a function or class of the user's makes.

    Where it takes no number of classes it gets a new head, where it takes none of channels a new first convolution.
    """
    build = factory(name)
    accepted, _ = keywords_of(build)
    for_classes = next((word for word in CLASSES if word in accepted), None)
    for_channels = next((word for word in CHANNELS if word in accepted), None)
    given = {for_classes: classes} if for_classes else {}
    given |= {for_channels: channels} if for_channels else {}
    model = built(name, build, settings, given)
    if not isinstance(model, nn.Module):
        raise OverfocusError(f"model {name!r} returned a {type(model).__name__}; a factory returns a torch.nn.Module")
    model = model if for_channels else with_channels(model, channels)
    return model if for_classes else replace_head(model, classes)


def factory(name: str) -> Callable:
    """Return the function that `package.module:factory` points to."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute, None)
    except (ImportError, ValueError, TypeError) as error:
        hint = "give package.module:factory, and PYTHONPATH where it lies beside you"
        raise OverfocusError(f"model {name!r}: cannot import {module!r} ({error}); {hint}") from error
    if not callable(found):
        functions = [word for word, value in vars(import_module(module)).items() if callable(value) and word[0] != "_"]
        raise UnknownName(f"function in {module}", attribute, functions)
    return found


def built(name: str, build: Callable, settings: dict, given: dict) -> nn.Module:
    """Call a constructor with the user's settings and ours; a setting that it does not take is an UnknownName."""
    known, open_ended = keywords_of(build)
    known -= HELD | given.keys()
    unknown = [setting for setting in settings if setting not in known]
    held = [setting for setting in unknown if setting in HELD | given.keys()]
    if held:
        raise OverfocusError(f"setting {held[0]!r} of {name} is made here; give classes, channels or a file as weights")
    if unknown and not open_ended:
        raise UnknownName(f"setting of {name}", unknown[0], known)
    try:
        return build(**given, **settings)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        stray = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if stray and stray[1] in unknown:
            raise UnknownName(f"setting of {name}", stray[1], known) from error
        if settings:
            raise OverfocusError(f"model {name!r} cannot be built with {settings}: {error}") from error
        raise


def keywords_of(build: Callable) -> tuple[set[str], bool]:
    """Return the keywords that a constructor and the class it returns name, and whether it takes others too.

    torchvision's builders hand the rest to a class that may swallow it, so there only what is named is known.
    """
    result = returned_by(build)
    makers = [build, result] if inspect.isclass(result) else [build]
    parameters = [parameter for maker in makers for parameter in inspect.signature(maker).parameters.values()]
    named = {parameter.name for parameter in parameters if parameter.kind in KEYWORDS}
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return named, open_ended and not str(getattr(build, "__module__", "")).startswith("torchvision.")


def returned_by(build: Callable) -> Any:
    """Return the class that a function says it returns, or None where it does not say."""
    try:
        return None if inspect.isclass(build) else get_type_hints(build).get("return")
    except (NameError, TypeError):  # an annotation that only a type checker can resolve; a partial
        return None


def torchvision_names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    from torchvision import models

    return models.list_models(module=models)


def timm_names() -> list[str]:
    """Return `timm:` names of all timm models, or none where timm is not installed."""
    try:
        from timm import list_models
    except ImportError:
        return []
    return [f"timm:{name}" for name in list_models()]


def closest(name: str, known: Iterable[str]) -> list[str]:
    """Return the few names nearest to a wrong one: an error should not list fourteen hundred."""
    return get_close_matches(name, known, n=6, cutoff=0.0)
