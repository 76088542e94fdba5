"""Folders of images: one folder for each class, or parts such as train/ and test/ with such folders inside, or parts
inside the folder of each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from overfocus.core.classes import check_names, number_warning, same_name
from overfocus.core.errors import OverfocusError
from overfocus.data.finalize import check_classes, finished
from overfocus.data.image_files import FileImages
from overfocus.data.inventory import Inventory, NotUsed
from overfocus.data.parts import part_of, parts_in
from overfocus.data.split import Dataset, Split
from overfocus.data.suffixes import suffixes
from overfocus.data.tree import Folder, Leftovers, read_tree

EXPECTED = "expected one folder of images for each class, or train/ and val/ or test/ with such folders inside"
PICTURES, MASKS = ("images", "imgs", "image", "img", "pictures", "photos"), ("masks", "mask", "segmentations", "gt")

Listed = dict[str, list[str]]
"""Class -> its files."""


RANK = 90
CARD = "a folder of images (class per folder, or train/val[/test] inside)"


def recognises(path: Path) -> bool:
    """Say whether `path` is a folder."""
    return path.is_dir()


def read(path: Path, channels: int | None = None) -> Dataset:
    """Read a folder of class folders, or of parts with such folders inside; without a test part a fifth of each class
    becomes one. A folder that can be read in two ways is an error that names both.
    """
    left = Leftovers()
    top = inner(read_tree(path, left))
    listed, parts, unused = _by_part(top) or _in_classes(top) or _whole(top)
    if not any(any(files.values()) for files in listed.values()):
        count = len(top.folders)
        raise OverfocusError(
            f"{path}: no images found{f' in {count} folders' if count else ''}; {EXPECTED}; files may be "
            f"{' '.join(suffixes())}"
        )
    first = "train" if "train" in listed else next(iter(listed))
    classes = tuple(
        sorted(listed[first]) if first == "train" else sorted({*listed.get("test", {}), *listed.get("val", {})})
    )
    listed = {part: _renamed(path, part, files, classes) for part, files in listed.items()}
    _check(path, listed, classes)
    splits = {part: _split(path, files, classes) for part, files in listed.items()}
    missing = [name for name in classes if "train" in listed and "test" in listed and not listed["test"].get(name)]
    note = f"Classes without test images: {', '.join(missing)}." if missing else ""
    where = f"Read from {Path(top.path).relative_to(path)}/, the only folder in it." if top.path != str(path) else ""
    warnings = tuple(filter(None, (where, number_warning(classes))))
    inventory = Inventory(parts, 0.0, (*unused, *left.not_used(path)), warnings)
    return finished(path.resolve().name, splits, classes, note, channels=channels, inventory=inventory)


def inner(top: Folder) -> Folder:
    """Return the folder that holds the class folders or parts: that of an archive in a folder of its own is inside."""
    while (only := _only(top)) and not part_of(only.name):
        top = only
    return top


def _only(top: Folder) -> Folder | None:
    """Return the one folder in `top`, if all pictures lie in folders of it."""
    one = top.folders[0] if len(top.folders) == 1 and not top.pictures else None
    return one if one and len(one.filled) > 1 and not one.pictures else None


def _part_folder(folder: Folder) -> Folder:
    """Return the folder with the class folders of a part: as archives have it, train/train/CLASS."""
    only = _only(folder)
    return only if only and only.name.lower() in (folder.name.lower(), *PICTURES, "data") else folder


Reading = tuple[Mapping[str, Listed], dict[str, str], list[NotUsed]]
"""Split -> class -> files; split -> its folder; what is not used."""


def _by_part(top: Folder) -> Reading | None:
    """Read train/, test/ and the like; None where no folder is called so. Where there is no `test`, `val` serves."""
    named = parts_in([folder.name for folder in top.folders])
    folders = {folder.name: _part_folder(folder) for folder in top.folders if folder.name in named}
    if not any(map(len, folders.values())):
        return None
    others = [folder for folder in top.filled if folder.name not in named]
    labelled = {name: folder for name, folder in folders.items() if folder.filled}
    _check_parts(top, named, labelled, others)
    found = {named[name]: name for name in labelled}
    if "test" not in found and "val" in found:
        found["test"] = found.pop("val")
    found = {part: found[part] for part in ("train", "test", "val") if part in found}
    unused = [NotUsed(f"{name}/", "no class folders in it, so no labels", len(folder))
              for name, folder in folders.items() if name not in labelled and len(folder)]  # fmt: skip
    unused += [NotUsed(f"{folder.name}/", "no customary name of a part", len(folder)) for folder in others]
    unused += _loose(top, "") + [each for name in labelled for each in _loose(labelled[name], f"{name}/")]
    return {part: _classes(labelled[name]) for part, name in found.items()}, found, unused


def _check_parts(
    top: Folder, named: Mapping[str, str], labelled: Mapping[str, Folder], others: Sequence[Folder]
) -> None:
    """Refuse folders of which some are called like parts where that can be read in two ways."""
    for name, part in named.items():
        twins = [other for other in labelled if named[other] == part and other != name]
        if name in labelled and twins:
            raise OverfocusError(
                f"{top.path}: {name}/ and {twins[0]}/ are both customary names for {part}; leave one, or name one "
                "otherwise"
            )
    parts, rest = _names(named), _names([folder.name for folder in others])
    if not labelled and not others:
        raise OverfocusError(
            f"{top.path}: {parts} hold no class folders: as parts they have no labels, and as classes they are called "
            "like parts; put class folders into them, lay a CSV of file and label beside them, or, where they are "
            "classes, move them into a folder train/"
        )
    if others and not any(named[name] == "train" for name in labelled):
        raise OverfocusError(
            f"{top.path}: {parts} beside {rest} can be read in two ways, as one part beside class folders or as one "
            "more class; move the class folders into train/, or, where all are classes, all into train/"
        )


def _in_classes(top: Folder) -> Reading | None:
    """Read parts inside the folder of each class, CLASS/train and CLASS/test; None where there are none."""
    inside = {folder.name: {each.name: part_of(each.name) for each in folder.filled} for folder in top.filled}
    if not any(part for parts in inside.values() for part in parts.values()):
        return None
    for folder in top.filled:
        parts = [part for part in inside[folder.name].values() if part]
        odd = [name for name, part in inside[folder.name].items() if not part]
        if folder.pictures or odd or len({*parts}) < len(parts) or not parts:
            other, called = next((name, each) for name, found in inside.items() for each, part in found.items() if part)
            raise OverfocusError(
                f"{top.path}: {other}/{called}/ can be read in two ways, as a part or as images of {other!r}, since "
                f"not all images of {folder.name!r} lie in parts; give every class folder the same parts, or rename it"
            )
    listed: dict[str, Listed] = {}
    for folder in top.folders:
        for each in folder.filled:
            listed.setdefault(inside[folder.name][each.name] or "", {})[folder.name] = each.below()
    if "test" not in listed and "val" in listed:
        listed["test"] = listed.pop("val")
    listed = {part: listed[part] for part in ("train", "test", "val") if part in listed}
    return listed, dict.fromkeys(listed, "folders inside those of the classes"), _loose(top, "")


def _whole(top: Folder) -> Reading:
    """Read one folder for each class."""
    names = {folder.name.lower() for folder in top.filled}
    if names & {*MASKS} and names & {*PICTURES}:
        pictures, masks = (next(f.name for f in top.filled if f.name.lower() in known) for known in (PICTURES, MASKS))
        raise OverfocusError(
            f"{top.path}: {pictures}/ and {masks}/ can be read as two classes or as pictures and their masks; give "
            f"--data {top.path}/{pictures} --boxes {top.path}/{masks}, or move them into train/ where they are classes"
        )
    return {"train": _classes(top)}, {}, _loose(top, "")


def _classes(folder: Folder) -> Listed:
    """Return the files of each class folder, an empty one too."""
    return {each.name: each.below() for each in folder.folders}


def _loose(folder: Folder, where: str) -> list[NotUsed]:
    """Return the pictures that lie beside class folders."""
    loose = len(folder.pictures)
    return [NotUsed(where, "they lie in no class folder, so they have no label", loose)] if loose else []


def _renamed(path: Path, part: str, files: Listed, classes: tuple[str, ...]) -> Listed:
    """Return the files of a part by the names that the classes have in `classes`, which may be composed otherwise."""
    found: Listed = {}
    for name, each in files.items():
        same = next((known for known in classes if same_name(name, known)), None)
        if same is None and each:
            near = next((known for known in classes if known.casefold() == name.casefold()), "")
            hint = f"{near!r}, which differs in case only" if near else ", ".join(classes[:10])
            raise OverfocusError(
                f"{path}: {part} has the class {name!r}, which train lacks; train has {hint}"
                f"{', ...' if len(classes) > 10 and not near else ''}"
            )
        if same is not None:
            found[same] = each
    return found


def _check(path: Path, listed: Mapping[str, Listed], classes: tuple[str, ...]) -> None:
    """Refuse what cannot be trained on."""
    check_names(classes, str(path))
    empty = [name for name in classes if "train" in listed and not listed["train"].get(name)]
    if empty:
        raise OverfocusError(f"{path}: class folder {empty[0]!r} has no images; fill it, or remove the folder")
    check_classes(str(path), classes)


def _names(names: Sequence[str] | Mapping[str, str]) -> str:
    listed = [f"{name}/" for name in names]
    return ", ".join(listed[:4]) + ", ..." * (len(listed) > 4)


def _split(root: Path, listed: Listed, classes: tuple[str, ...]) -> Split:
    number = {name: label for label, name in enumerate(classes)}
    pairs = [(file, number[name]) for name in sorted(listed) for file in listed[name]]
    labels = torch.tensor([label for _, label in pairs], dtype=torch.int64)
    return Split(FileImages(root, tuple(file for file, _ in pairs)), labels, classes)
