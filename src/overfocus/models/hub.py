"""Folders of weights on the Hugging Face hub, by its own download and cache, without ever running code from them."""

from __future__ import annotations

from pathlib import Path

from overfocus.core.errors import OverfocusError

PREFIX = "hf:"
FACTS = ("config.json", "preprocessor_config.json")
SAFE = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


def located(what: str | Path) -> Path:
    """Return the file or folder `what`; `hf:OWNER/NAME` and `hf:OWNER/NAME@REVISION` are fetched, or in the cache."""
    return _fetched(what) if isinstance(what, str) and what.startswith(PREFIX) else Path(what)


def pinned(what: str) -> str:
    """Return `what` with the commit that it is of now, so that later the same weights are meant."""
    repository = what.partition("@")[0]
    return f"{repository}@{located(what).name}" if what.startswith(PREFIX) else what


def _fetched(name: str) -> Path:
    """Return the folder of a repository in the cache of the hub: safetensors, else weights that hold tensors only."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    for weights in (SAFE, PICKLED):
        try:
            folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*FACTS, *weights]))
        except Exception as error:  # of the hub, requests, httpx
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise _not_had(name, repository, revision, reason) from error
        if any((folder / each).is_file() for each in weights):
            return folder
    raise _not_had(name, repository, revision, f"neither {SAFE[0]} nor {PICKLED[0]} is there")


def _not_had(name: str, repository: str, revision: str, reason: str) -> OverfocusError:
    folder, page = f"./{repository.rpartition('/')[2]}", f"{repository}/tree/{revision or 'main'}"
    return OverfocusError(
        f"{name} cannot be had ({reason[:120]}); fetch config.json, model.safetensors and preprocessor_config.json of "
        f"https://huggingface.co/{page} elsewhere, put them into a folder and give it as --model {folder}, or give "
        f"--weights {folder}/model.safetensors beside --model and --preprocess"
    )
