"""The law of the options: each is declared once, and every command prints JSON when asked."""

from typing import get_type_hints

import pytest
from typer.models import OptionInfo

from overfocus.cli.app import GROUPS, with_tags

COMMANDS = {
    command.callback.__name__: command.callback
    for apps in GROUPS.values()
    for app in apps
    for command in app.registered_commands
}
DIFFER = {
    "--out": "every command writes something of its own",
    "--images": "a number of pictures to draw, one of pictures in a gallery, or whether to write a table of images",
    "--per-class": "images of each class; a list of data sizes in a study; whether to score every class",
    "--fraction": "a part of each class; a list of data sizes in a study",
    "--epochs": "one number; one for each data size in a study",
    "--method": "a spec; in a search a repeatable spec with open settings",
    "--methods": "specs of a study; names of maps",
    "--model": "the network to train; that of a bare file of weights",
    "--split": "several to evaluate; one to diagnose",
    "--boxes": "objects of images to examine; of a data set to check",
    "--data": "images of classes; images of objects for a detector",
    "--size": "of whole images; of the shorter side for a detector",
    "--map": "of several networks to examine, also the best of several maps; of a study one for all its runs",
    "--workers": "processes that read images; runs at a time",
    "--metric": "of the answers to test images; of those to held-out ones after every epoch, which has fewer",
    "--limit": "a diagnosis may take all images, a study may not",
}


def options(function) -> dict[str, OptionInfo]:
    """Return flag -> declaration for the options of a command."""
    found = {}
    for name, hint in get_type_hints(function, include_extras=True).items():
        for info in getattr(hint, "__metadata__", ()):
            if isinstance(info, OptionInfo):
                named = info.default if isinstance(info.default, str) else f"--{name.replace('_', '-')}"
                found[named] = info
    return found


def declarations() -> dict[str, set[int]]:
    found = {}
    for function in COMMANDS.values():
        for flag, info in options(function).items():
            found.setdefault(flag, set()).add(id(info))
    return found


def test_every_option_is_declared_once():
    assert {flag for flag, infos in declarations().items() if len(infos) > 1} == set(DIFFER)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json(name):
    assert "--json" in options(COMMANDS[name])


@pytest.mark.parametrize(
    ("words", "then"),
    [
        (["train", "--pretrained"], ["train", "--pretrained", "default"]),
        (["train", "--pretrained", "--data", "x"], ["train", "--pretrained", "default", "--data", "x"]),
        (["train", "--pretrained", "a1_in1k", "--seed", "1"], ["train", "--pretrained", "a1_in1k", "--seed", "1"]),
        (["train", "--seed", "1"], ["train", "--seed", "1"]),
        ([], []),
    ],
)
def test_pretrained_without_a_tag_takes_the_default(words, then):
    assert with_tags(words) == then
