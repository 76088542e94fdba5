"""Sets of the Hugging Face hub, and such sets saved to disk, through `datasets`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from overfocus.core.errors import OverfocusError
from overfocus.data.inventory import NotUsed
from overfocus.data.parts import part_of
from overfocus.data.readers.parquet import NO_PART, class_names, from_columns, ordered, pick_columns
from overfocus.data.split import Dataset

RANK = 30
CARD = "a set that `datasets` saved to disk"


def recognises(path: Path) -> bool:
    """Say whether `datasets` saved a set to the folder `path`."""
    return (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file()


def read(path: Path, channels: int | None = None, multi: bool = False) -> Dataset:
    """Read a set that `datasets` saved to the folder `path`."""
    return from_hub(str(path), channels=channels, multi=multi)


def from_hub(name: str, download: bool = False, channels: int | None = None, multi: bool = False) -> Dataset:
    """Read `owner/name` or `owner/name:configuration` from the local cache, or from the hub if `download`.

    `name` may also be a folder to which `datasets` saved a set. `multi`: the labels of an image are a list.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise OverfocusError(f"hub:{name}: needs the package datasets; pip install 'overfocus[hub]'") from error
    loaded: Any = datasets.load_from_disk(name) if Path(name).is_dir() else _cached(datasets, name, download)
    loaded = loaded if isinstance(loaded, dict) else {"train": loaded}
    parts = {}
    for part, table in loaded.items():
        if split := part_of(part):
            if split in parts:
                raise OverfocusError(f"hub:{name}: several parts are customary names for {split}, {part!r} among them")
            parts[split] = table
    unused = [NotUsed(part, NO_PART, len(table), "rows") for part, table in loaded.items() if not part_of(part)]
    rows, names = {}, None
    for part, table in ordered(f"hub:{name}", parts).items():
        image, label = pick_columns(f"hub:{name}", table.column_names)
        names = names or class_names(table.features)
        encoded = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        rows[part] = (_Column(encoded, image), table[label][:])
    return from_columns(Path(name).name, rows, names, channels, unused, multi)


def _cached(datasets: Any, name: str, download: bool) -> Any:
    owner_and_name, _, configuration = name.partition(":")
    try:
        options = {} if download else {"download_config": datasets.DownloadConfig(local_files_only=True)}
        return datasets.load_dataset(owner_and_name, configuration or None, **options)
    except (OSError, ValueError, RuntimeError) as error:
        how = "check the name and the connection" if download else "download it with --download (download=True)"
        raise OverfocusError(
            f"hub:{name}: not in the local cache or not readable; {how} ({str(error)[:200]})"
        ) from error


class _Column:
    """A column that is read row by row, from the memory-mapped table."""

    def __init__(self, table: Any, name: str) -> None:
        self.table, self.name = table, name

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> Any:
        return self.table[row][self.name]
