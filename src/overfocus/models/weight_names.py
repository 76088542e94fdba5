"""From the names of tensors in a file to those of a model: one consistent mapping, or an error that names the choices.

Trainers put words before the names (`net.`, `module.`, `objective.model.`), keep several networks in one file (averaged
weights, teachers) and beside them what only training needs. Whatever comes before the names, a mapping is consistent
when every tensor of the model but its head's is found under one prefix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from overfocus.core.errors import OverfocusError, UnknownName
from overfocus.models.checkpoint_files import Checkpoint

AVERAGED, RAW, TOP = "averaged", "raw", "top"
AVERAGE = re.compile(r"(?:^|[._])(?:ema|swa|averaged?|avg|polyak)(?=$|[._\d])", re.IGNORECASE)
# torchvision's DenseNet files were written when a module's name could hold a dot.
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
# What lies beside a model's tensors and belongs to its training: losses, metrics, auxiliary heads, counters.
TRAINING = re.compile(r"(criterion\w*|\w*loss(_fn|es)?|\w*metrics?|\w*acc(uracy)?|aux\d?|AuxLogits)\.|n_averaged$")
# The teacher of our own objective is made from the model, not trained.
OWN_TEACHER = re.compile(r"(^|\.)objective\.teacher\.")


@dataclass(frozen=True, eq=False)
class Match:
    """One network in a file, under the names of the model."""

    label: str
    """Where it lies: the keys to its mapping, then the prefix of its names."""
    averaged: bool
    tensors: Mapping[str, Tensor]
    """By the model's names; what is unknown to the model keeps its own."""
    beside: tuple[str, ...]
    """Names of what lies in the same mapping and is no part of the network."""
    prefixed: bool
    """Whether the file has a word before the model's names."""
    others: tuple[str, ...] = ()
    """Labels of the other networks in the file that would have fitted."""

    def note(self) -> str:
        """Return what somebody must know of the choice; "" where there was none."""
        said = []
        if self.others:
            kind = AVERAGED if self.averaged else RAW
            said.append(f"the {kind} weights, {self.label}; it also holds {', '.join(self.others)}")
        if self.beside:
            more = f" and {len(self.beside) - 3} more" if len(self.beside) > 3 else ""
            said.append(f"not used of the file: {', '.join(self.beside[:3])}{more}")
        return "; ".join(said)


def match(checkpoint: Checkpoint, own: Mapping[str, Tensor], head: Collection[str], which: str = "") -> Match:
    """Return the network in a file that fits a model, or, where none does, the one that comes nearest.

    own: the tensors of the model by name. head: the names of its classifier's, which may be missing in a file.
    which: "averaged", "raw" or a label; by default the averaged weights where there are both, as in timm.
    Raises OverfocusError where several fit and nothing tells them apart, UnknownName for one that is not there.
    """
    every = list(_matches(checkpoint, own))
    whole = [each for each in every if not _missing(each, own) - set(head)]
    if not whole:
        return max(every, key=lambda each: len(each.tensors.keys() & own.keys()))
    scores = [sum(same_shape(each.tensors, own, name) for name in own) for each in whole]
    fitting = _distinct([each for each, score in zip(whole, scores, strict=True) if score == max(scores)], own)
    one = _chosen(fitting, which, checkpoint)
    return replace(one, others=tuple(each.label for each in fitting if each is not one))


def same_shape(given: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> bool:
    """Say whether the file has the tensor in the model's shape."""
    return name in given and given[name].shape == own[name].shape


def clean_name(name: str) -> str:
    """Return a tensor's name without what `torch.compile`, DistributedDataParallel and DataParallel put into it."""
    name = name.replace("_orig_mod.", "")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    return name


def _matches(checkpoint: Checkpoint, own: Mapping[str, Tensor]) -> Iterator[Match]:
    """Yield every mapping's tensors under the model's names, for every prefix at which one lies, or for none."""
    states = checkpoint.state_dicts()
    for keys, state in states.items():
        given = {
            OLD_DENSENET.sub(r"\1\2.", name.replace("_orig_mod.", "")): tensor
            for name, tensor in state.items()
            if not OWN_TEACHER.search(name)
        }
        # Lightning's WeightAveraging puts the average where the weights were, and these under another key.
        swapped = keys == "state_dict" and "current_model_state" in states
        for wrapper in _wrappers(own):
            for prefix in _prefixes(given, {name.removeprefix(wrapper) for name in own}):
                yield _under(keys, prefix, wrapper, given, own, swapped)
        yield _under(keys, "", "", given, own, swapped)


def _under(
    keys: str, prefix: str, wrapper: str, given: Mapping[str, Tensor], own: Mapping[str, Tensor], averaged: bool
) -> Match:  # fmt: skip
    label = ".".join(part for part in (keys, prefix.rstrip(".")) if part) or TOP
    tensors = {f"{wrapper}{name[len(prefix) :]}": tensor for name, tensor in given.items() if name.startswith(prefix)}
    strays = [name for name in tensors if name not in own and TRAINING.match(name)]
    beside = [name for name in given if not name.startswith(prefix) and not TRAINING.match(name)]
    kept = {name: tensor for name, tensor in tensors.items() if name not in strays}
    return Match(label, averaged or bool(AVERAGE.search(label)), kept, tuple(beside), prefixed=bool(prefix))


def _distinct(matches: list[Match], own: Collection[str]) -> list[Match]:
    """Return the matches without those whose numbers another one before has."""
    found: list[Match] = []
    for each in matches:
        if not any(_equal(each.tensors, other.tensors, own) for other in found):
            found.append(each)
    return found


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor], own: Collection[str]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in own if name in one and name in other)


def _chosen(fitting: list[Match], which: str, checkpoint: Checkpoint) -> Match:
    """Return the one that is asked for, else the averaged one, else the one that bears the model's own names."""
    named = [each for each in fitting if each.label == which]
    if which and not named and which not in (AVERAGED, RAW):
        raise UnknownName(f"weights in {checkpoint.path}", which, [each.label for each in fitting])
    averaged = [each for each in fitting if each.averaged]
    raw = [each for each in fitting if not each.averaged]
    chosen = named or {AVERAGED: averaged, RAW: raw}.get(which, averaged or raw)
    if not chosen:
        there = ", ".join(each.label for each in fitting)
        raise OverfocusError(
            f"weights {checkpoint.path}: there are no {which} ones, only {there}; leave --which-weights out"
        )
    plain = [each for each in chosen if not each.prefixed]
    if len(chosen) > 1 and len(plain) != 1:
        names = ", ".join(each.label for each in chosen)
        raise OverfocusError(
            f"weights {checkpoint.path}: {len(chosen)} networks in it fit, {names}; say which (--which-weights "
            f"{chosen[0].label})"
        )
    return plain[0] if len(chosen) > 1 else chosen[0]


def _prefixes(given: Collection[str], own: Collection[str]) -> list[str]:
    """Return what comes before the model's names in a file's, the most frequent first."""
    votes: Counter[str] = Counter()
    for name in given:
        parts = name.split(".")
        starts = [n for n in range(len(parts)) if ".".join(parts[n:]) in own]
        votes.update("".join(f"{part}." for part in parts[:n]) for n in starts)
    return [prefix for prefix, _ in votes.most_common()]


def _wrappers(own: Collection[str]) -> list[str]:
    """Return "" and the words that all of the model's names begin with: of a wrapper that the file may lack."""
    found, rest = [""], [name.split(".") for name in own]
    while rest and all(len(parts) > 1 and parts[0] == rest[0][0] for parts in rest):
        found.append(f"{found[-1]}{rest[0][0]}.")
        rest = [parts[1:] for parts in rest]
    return found


def _missing(found: Match, own: Mapping[str, Tensor]) -> set[str]:
    return {name for name in own if name not in found.tensors and not name.endswith("num_batches_tracked")}
