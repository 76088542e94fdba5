"""Weights in files: read without ever running code from them, written whole or not at all."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from overfocus.core.errors import OverfocusError
from overfocus.core.files import replacing
from overfocus.models.surgery import classifier_name, first_convolution, fit_channels

NESTS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "weights", "net", "module")
# What a file may hold beyond the model: heads used in training only, and the counter of an averaged model.
EXTRAS = re.compile(r"(aux\d?|AuxLogits)\.|n_averaged$")
# torchvision's DenseNet files were written when a module's name could hold a dot.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")


def load_weights(
    model: nn.Module, path: str | Path, *, new_head: bool = False, new_channels: bool = False
) -> list[str]:
    """Copy a checkpoint into the model; return the names of the tensors left out, of which `new_head` alone makes any.

    path: safetensors, or a .pt/.pth file that holds tensors alone. A nested state dict is found, and the prefixes of
        DataParallel, `torch.compile` and Lightning are taken off.
    new_head: where the file has another classifier or none, the model's stays as it is.
    new_channels: the first convolution is fitted to the model's channels.
    Raises OverfocusError where the file cannot be read or does not fit; then the model is untouched.
    """
    own = {clean_name(name): tensor for name, tensor in model.state_dict().items() if isinstance(tensor, Tensor)}
    given = renamed(read_tensors(path), own)
    if new_channels:
        refit_first_convolution(model, given)
    left_out = unlike_head(model, given, own) if new_head else []
    for name in left_out:
        given.pop(name, None)
    check_fit(path, given, {name: tensor for name, tensor in own.items() if name not in left_out})
    with torch.no_grad():
        for name, tensor in given.items():
            own[name].copy_(tensor)
    return left_out


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name, on the CPU.

    Raises OverfocusError where the file is no checkpoint, is damaged, or would have to run code.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise OverfocusError(f"weights {path}: {error.strerror}; give a .safetensors, .pt or .pth file") from error
    # Safetensors begins with the length of its JSON header in eight bytes; what is inside counts, not the suffix.
    content = read_safetensors(path) if start[8:] == b"{" else read_pickle(path)
    tensors = {str(name): value for name, value in state_in(content, path).items() if isinstance(value, Tensor)}
    odd = [name for name, tensor in tensors.items() if tensor.is_meta or tensor.layout is not torch.strided]
    if odd or not tensors:
        what = f"{odd[0]} is sparse or without values" if odd else "there is no tensor in it"
        raise OverfocusError(f"weights {path}: {what}; save model.state_dict()")
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return what a safetensors file holds."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise OverfocusError(f"weights {path}: damaged or truncated safetensors ({error}); copy it again") from error


def read_pickle(path: Path) -> Any:
    """Return what a .pt or .pth file holds, by PyTorch's reader that knows tensors and plain containers only."""
    try:
        with path.open("rb") as file:  # given a path, torch.load goes by its suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises nearly every kind here, from EOFError to UnpicklingError
        code = re.search(r"GLOBAL ([\w.]+)|(TorchScript)", str(error))
        if code:
            raise OverfocusError(
                f"weights {path}: not tensors alone; it asks for {code[1] or code[2]}, which could run code, so it was "
                "not read. Where the file is trusted, load it there and save model.state_dict()"
            ) from error
        raise OverfocusError(
            f"weights {path}: no checkpoint, or a truncated one; give a state dict in .safetensors, .pt or .pth"
        ) from error


def state_in(content: Any, path: Path) -> Mapping:
    """Return the state dict in a checkpoint, however deep it lies under the usual names."""
    while isinstance(content, Mapping):
        nests = [name for name in NESTS if isinstance(content.get(name), Mapping)]
        if not nests:
            return content
        content = content[nests[0]]
    raise OverfocusError(f"weights {path}: holds a {type(content).__name__}, not a state dict; save model.state_dict()")


def clean_name(name: str) -> str:
    """Return a tensor's name without what `torch.compile`, DistributedDataParallel and DataParallel put into it."""
    name = name.replace("_orig_mod.", "")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def renamed(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the file's tensors under the names that the model uses, without those that only training needs."""
    clean = {OLD_DENSENET.sub(r"\1\2.", clean_name(name)): tensor for name, tensor in given.items()}
    if not clean.keys() & own.keys():
        clean = {name.removeprefix("model."): tensor for name, tensor in clean.items()}
    return {name: tensor for name, tensor in clean.items() if name in own or not EXTRAS.match(name)}


def refit_first_convolution(model: nn.Module, given: dict[str, Tensor]) -> None:
    """Fit the file's first convolution to the channels of the model's, where both have one."""
    name = first_convolution(model)
    first = model.get_submodule(name)
    key = f"{clean_name(name)}.weight"
    if isinstance(first, nn.Conv2d) and key in given and given[key].ndim == 4:
        channels = first.weight.shape[1]
        given[key] = given[key] if given[key].shape[1] == channels else fit_channels(given[key], channels)


def unlike_head(model: nn.Module, given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the classifier's tensors, all of them where one differs from the file, or none."""
    prefix = f"{clean_name(classifier_name(model))}."
    head = [name for name in own if name.startswith(prefix)]
    return head if any(not same_shape(given, own, name) for name in head) else []


def same_shape(given: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> bool:
    """Say whether the file has the tensor in the model's shape."""
    return name in given and given[name].shape == own[name].shape


def check_fit(path: str | Path, given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise where names or shapes differ, naming the first of each kind."""
    # Files older than PyTorch 0.4.1 do not count batches, and nothing depends on the count unless momentum is None.
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unknown = [name for name in given if name not in own]
    both = [name for name in given if name in own and not same_shape(given, own, name)]
    shapes = [f"{name} is {list(given[name].shape)} in the file, {list(own[name].shape)} in the model" for name in both]
    wrong = [*named("shapes differ", shapes), *named("not in the file", missing), *named("not in the model", unknown)]
    if wrong:
        hint = "build the model as they were saved (name, stem, channels, classes), or ask for a new head"
        raise OverfocusError(f"weights {path} do not fit: {'; '.join(wrong)}; {hint} (new_head=True)")


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
