"""Weights in files: read without ever running code from them, written whole or not at all."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing
from overfocus.models.checkpoint_files import Checkpoint, forget, read_checkpoint
from overfocus.models.surgery import classifier_name, first_convolution, fit_channels
from overfocus.models.weight_names import clean_name, match, same_shape

log = logging.getLogger(__name__)


class Filled(NamedTuple):
    """What became of a checkpoint that was copied into a model."""

    left_out: list[str]
    """Names of the classifier's tensors where it stays new."""
    note: str
    """Which of several weights were taken, and what of the file was not used; "" where nothing is to be said."""


def load_weights(
    model: nn.Module, path: str | Path, *, new_head: bool = False, new_channels: bool = False, which: str = ""
) -> list[str]:
    """Copy a checkpoint into the model; return the names of the tensors left out, of which `new_head` alone makes any.

    path: a file or folder of weights, see `docs/checkpoints.md`. Whatever prefix the names have is taken off; of raw
        and averaged weights the averaged ones are taken, which is logged.
    new_head: where the file has another classifier or none, the model's stays as it is.
    new_channels: the first convolution is fitted to the model's channels.
    which: "averaged", "raw", or where in the file the weights lie.
    Raises OverfocusError where the file cannot be read or does not fit; then the model is untouched.
    """
    filled = fill(model, read_checkpoint(path), new_head=new_head, new_channels=new_channels, which=which)
    if filled.note:
        log.warning("weights %s: %s", path, filled.note)
    return filled.left_out


def fill(
    model: nn.Module, checkpoint: Checkpoint, *, new_head: bool = False, new_channels: bool = False, which: str = ""
) -> Filled:
    """Copy a checkpoint that was read into the model, as `load_weights` does, and say what was chosen."""
    forget(checkpoint)
    own = {clean_name(name): tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    head = [name for name in own if name.startswith(f"{clean_name(classifier_name(model))}.")]
    found = match(checkpoint, own, head, which)
    given = dict(found.tensors)
    odd = [name for name, tensor in given.items() if tensor.is_meta or tensor.layout is not torch.strided]
    if odd:
        raise OverfocusError(
            f"weights {checkpoint.path}: {odd[0]} is sparse or without values; save model.state_dict()"
        )
    if new_channels:
        refit_first_convolution(model, given)
    left_out = head if new_head and any(not same_shape(given, own, name) for name in head) else []
    for name in left_out:
        given.pop(name, None)
    check_fit(checkpoint.path, given, {name: tensor for name, tensor in own.items() if name not in left_out}, head)
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)
    return Filled(left_out, found.note())


def refit_first_convolution(model: nn.Module, given: dict[str, Tensor]) -> None:
    """Fit the file's first convolution to the channels of the model's, where both have one."""
    name = first_convolution(model)
    first = model.get_submodule(name)
    key = f"{clean_name(name)}.weight"
    if isinstance(first, nn.Conv2d) and key in given and given[key].ndim == 4:
        channels = first.weight.shape[1]
        given[key] = given[key] if given[key].shape[1] == channels else fit_channels(given[key], channels)


def check_fit(path: Path, given: Mapping[str, Tensor], own: Mapping[str, Tensor], head: list[str]) -> None:
    """Raise where names or shapes differ, naming the first of each kind."""
    # Files older than PyTorch 0.4.1 do not count batches, and nothing depends on the count unless momentum is None.
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unknown = [name for name in given if name not in own]
    both = [name for name in own if name in given and not same_shape(given, own, name)]
    shapes = [f"{name} is {list(given[name].shape)} in the file, {list(own[name].shape)} in the model" for name in both]
    wrong = [*named("shapes differ", shapes), *named("not in the file", missing), *named("not in the model", unknown)]
    if not wrong:
        return
    hint = "build the model as they were saved (--model, --setting; channels and classes are the data's)"
    if both and set(both) <= set(head):
        classes, wanted = (len(tensors[both[0]]) for tensors in (given, own))
        hint = (
            f"the file knows {classes} classes and {wanted} are asked for; give the data of its {classes} classes, or, "
            "to train from it with a new head, overfocus train --weights (in Python: create_model(weights=...))"
        )
    raise OverfocusError(f"weights {path} do not fit: {'; '.join(wrong)}; {hint}")


def named(what: str, names: list[str]) -> list[str]:
    """Return one phrase with the first three names and the count of the rest, or none."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{what}: {', '.join(names[:3])}{more}"] if names else []


def save_weights(model_state: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a state dict as safetensors under clean names: the whole file, or after an error the one before.

    Tensors that share memory are written once each.
    Raises OverfocusError where the disk refuses or a value is no tensor.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = apart(model_state)
    if not Path(path).parent.is_dir():
        raise OverfocusError(f"weights {path}: cannot be written (no such folder); make it, or choose another")
    try:
        with replacing(Path(path)) as aside:
            aside.touch()
            allowed = aside.stat().st_mode  # as the umask has it, where safetensors lets in the owner alone
            save_file(tensors, aside, metadata={"format": "pt"})
            aside.chmod(allowed)
    except (SafetensorError, OSError) as error:
        raise OverfocusError(f"weights {path}: cannot be written ({error}); choose a folder with space") from error


def apart(model_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU, of which no two share memory, as safetensors wants them."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in model_state.items():
        if not isinstance(value, Tensor):
            raise OverfocusError(
                f"weights: {name} is a {type(value).__name__}, not a tensor; leave it out of the state"
            )
        tensor = value.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        tensors[clean_name(name)] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return tensors
