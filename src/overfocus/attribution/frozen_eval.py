"""A model in evaluation mode with gradients off, given back as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.attribution.head import no_autocast_cache
from overfocus.core.errors import OverfocusError
from overfocus.core.modes import in_mode
from overfocus.models.smoke import sizes_that_work


@contextmanager
def frozen_eval(model: nn.Module) -> Iterator[nn.Module]:
    """Lend `model` in evaluation mode, run eagerly, with gradients off; each module gets its own mode back.

    A compiled model is lent as the one behind it. The caller's inference mode and the casts that its autocast keeps
    are left outside, since either would reach what is computed later.
    """
    model = getattr(model, "_orig_mod", model)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(no_autocast_cache())
        if any(map(_is_compiled, model.modules())):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(in_mode(model.modules()))
        yield model


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


@contextmanager
def hooked(hooks: dict[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Register forward hooks, and remove them also after an exception."""
    handles = []
    try:
        for module, hook in hooks.items():
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def own_images(images: Tensor) -> Tensor:
    """Return a copy of `images` [B, C, H, W] that a model may write to; OverfocusError where they are none."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point() or not images.numel():
        shape = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise OverfocusError(f"images are {shape}; give floats [B, C, H, W], at least one image")
    return images.detach().clone()


@contextmanager
def fitting(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Where `model`, in `frozen_eval`, fails on `images` [B, C, H, W] for their size, say which sizes work.

    Raises OverfocusError instead of what the model raised; any other failure is left as it is.
    """
    try:
        yield
    except OverfocusError:
        raise
    except Exception as error:  # whatever the code of others raises
        with torch.no_grad():
            if _runs(model, torch.zeros_like(images[:1])) or not (
                sizes := sizes_that_work(partial(_runs, model), images)
            ):
                raise
        height, width = images.shape[2:]
        reason = str(error).partition("\n")[0]
        raise OverfocusError(
            f"{type(model).__name__} cannot run on images of {height} x {width} pixels ({reason}); {sizes}"
        ) from error


def _runs(model: nn.Module, images: Tensor) -> bool:
    try:
        return isinstance(model(images), Tensor)
    except Exception:  # whatever the code of others raises
        return False


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Run `model` on `images` [B, C, H, W] and return its logits [B, K]; OverfocusError where it returns no such."""
    return checked_logits(model, model(images), len(images))


def checked_logits(model: nn.Module, output: Any, count: int) -> Tensor:
    """Return the `output` of `model` for `count` images if it is logits [B, K]; else OverfocusError."""
    if isinstance(output, Tensor) and output.ndim == 2 and len(output) == count:
        return output
    if isinstance(output, Tensor):
        found = f"a tensor {tuple(output.shape)} for {count} images"
    else:
        names = f" with {', '.join(map(repr, output))}" if isinstance(output, dict) else ""
        found = f"a {type(output).__name__}{names}"
    raise OverfocusError(
        f"{type(model).__name__} returns {found}; give a model that returns its logits [B, K] alone, such as a "
        "module whose forward picks them out"
    )
