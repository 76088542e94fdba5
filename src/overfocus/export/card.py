"""The card of an exported model, in the form that the Hugging Face hub shows: what it is, its scores and limits."""

from __future__ import annotations

import json
import re
from math import floor
from typing import Any

from overfocus.core.preprocess import Preprocess
from overfocus.training.evaluate import follows
from overfocus.training.evaluate_labels import judged_by

USES = {
    "safetensors": """```python
import json, torch
from safetensors.torch import load_file

config = json.load(open("config.json"))
{make}
model.load_state_dict(load_file("model.safetensors"))
model.eval()  # takes images of {height} x {width}, prepared as below and normalised by config["mean"] and config["std"]
```""",
    "torch-export": """```python
import torch

model = torch.export.load("model.pt2").module()
logits = model(pixels)  # float32 [B, {channels}, H, W] in [0, 1]; fitted to {height} x {width} and normalised inside
```""",
    "onnx": """```python
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
# pixels: float32 [B, {channels}, H, W] in [0, 1]; fitted to {height} x {width} and normalised inside
(logits,) = session.run(None, {{"pixels": pixels}})
```""",
}


def card(kind: str, config: dict[str, Any], manifest: dict[str, Any], *, best: bool) -> str:
    """Return README.md for an export of `kind`, from the export's config and the run's manifest."""
    chosen = manifest["best" if best else "last"]
    scores = _scores(chosen)
    parts = [
        _front(config, manifest, scores),
        f"# {_plain(config['architecture'])}, trained with {_plain(manifest['method'])}\n",
        f"An image classifier of {config['num_classes']} classes, trained and exported by "
        f"overfocus {_plain(manifest['versions'].get('overfocus', ''))}.\n",
        "## Use\n\n" + _use(kind, config) + "\n\nThe classes are `id2label` in `config.json`.\n",
        "## Scores\n\n" + _table(scores, chosen) + "\n",
        "## Training\n\n" + _training(manifest) + "\n",
        "## Limits\n\n" + _limits(kind, manifest, best) + "\n",
    ]
    return "\n".join(parts)


def _scores(chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return split -> scores, of the last epoch or of the best one."""
    if "scores" in chosen:
        return chosen["scores"]
    return {chosen["split"]: chosen} if chosen.get("split") else {}


def _front(config: dict[str, Any], manifest: dict[str, Any], scores: dict[str, dict[str, Any]]) -> str:
    """Return the block that the hub reads. JSON is YAML, so no name can end it."""
    name = f"{config['architecture']} {manifest['method']}"
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": split, "type": "image-folder", "split": split},
            "metrics": [dict(zip(("type", "value"), judged_by(score), strict=True))],
        }
        for split, score in scores.items()
        if not follows(score)
    ]
    front = {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "overfocus"],
        "model-index": [{"name": name, "results": results}],
    }
    return "---\n" + "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items()) + "\n---\n"


def _use(kind: str, config: dict[str, Any]) -> str:
    height, width = config["image_size"]
    return USES[kind].format(make=_make(config), channels=config["channels"], height=height, width=width)


def _make(config: dict[str, Any]) -> str:
    """Return the line that makes the network, by its own library where that alone is enough."""
    name, plain = config["architecture"], config["channels"] == 3 and not config["settings"]
    if name.startswith("timm:"):
        return (
            f"import timm\nmodel = timm.create_model({name[5:]!r}, num_classes={config['num_classes']}, "
            f"in_chans={config['channels']})"
        )
    if plain and ":" not in name and not name.startswith("overfocus"):
        made = f"get_model({name!r}, num_classes={config['num_classes']})"
        return f"from torchvision.models import get_model\nmodel = {made}"
    settings = "".join(f", {key}={value!r}" for key, value in config["settings"].items())
    return (
        f"import overfocus as of\nmodel = of.create_model({name!r}, {config['num_classes']}, "
        f"channels={config['channels']}{settings})"
    )


def _table(scores: dict[str, dict[str, Any]], chosen: dict[str, Any]) -> str:
    if not scores:
        return "None was measured in the run."
    lines = [f"| images | {judged_by(next(iter(scores.values())))[0]} | loss (nats) | n |", "|---|---|---|---|"]
    lines += [
        f"| {_plain(split)} | {judged_by(score)[1]:.4f} | {score['loss']:.4f} | {score['images']:,} |"
        for split, score in scores.items()
    ]
    note = f"\n\n{_plain(chosen['note'])}." if chosen.get("note") else ""
    return "\n".join(lines) + f"\n\nOf epoch {chosen['epoch']}, one training run.{note}"


def _training(manifest: dict[str, Any]) -> str:
    counts = ", ".join(f"{_plain(name)} {count:,}" for name, count in manifest["images"].items())
    versions = ", ".join(f"{_plain(name)} {_plain(version)}" for name, version in manifest["versions"].items())
    return (
        f"- method: {_plain(manifest['method'])}\n- images: {counts}\n"
        f"- data fingerprint: {_plain(manifest['data']['fingerprint'])}\n- versions: {versions}\n"
        f"- {manifest['seconds']:,.0f} s on {manifest['machine']['cpus']} processor cores"
        + (f" and {', '.join(map(_plain, manifest['machine']['gpus']))}" if manifest["machine"]["gpus"] else "")
    )


FITS = {
    "crop": "their shorter side was fitted to {} pixels and the centre of {} cut out",
    "pad": "their longer side was fitted to {} pixels and the rest of {} filled with the colour {}",
    "squash": "both sides were fitted to {} pixels, whatever their aspect, and the centre of {} cut out",
}


def _preparation(how: Preprocess) -> str:
    """Say in a sentence how images became what the network takes."""
    height, width = how.size or (0, 0)
    before = (floor(side / how.crop_share) for side in (height, width))
    colour = ",".join(map(str, how.background))
    fitted = FITS[how.fit].format("{} x {}".format(*before), f"{height} x {width}", colour)
    turned = "turned as EXIF says" if how.orientation == "viewer" else "taken as stored, whatever EXIF says"
    return f"Its images were {turned}; {fitted} ({how.interpolation})."


def _to_do(kind: str) -> str:
    """Say what of the preparation is left to whoever uses the model."""
    if kind == "safetensors":
        return "Others have to be too, and normalised"
    return (
        "The program fits and normalises by itself; turning a picture, bringing it to 8 bits and laying what is "
        "transparent on the background come before it"
    )


def _limits(kind: str, manifest: dict[str, Any], best: bool) -> str:
    lines = [
        f"- It knows the {len(manifest['classes'])} classes in config.json, and {_says(manifest)}.",
        f"- {_preparation(Preprocess.of_manifest(manifest))} {_to_do(kind)}: `preprocess` in config.json.",
        "- `overfocus diagnose` measures how narrowly it looks, and what hiding, attacks and shift cost it.",
    ]
    if note := manifest["data"].get("note"):
        lines.append(f"- Of the data: {_plain(note)}")
    if best:
        lines.append(
            "- The epoch was chosen by its score, which is therefore optimistic on the images it was chosen on."
        )
    return "\n".join(lines)


def _says(manifest: dict[str, Any]) -> str:
    if not manifest.get("multi_label"):
        return "calls every picture one of them"
    return "gives a picture any number of them: each whose sigmoid reaches its threshold in `labels` there, else 0.5"


def _plain(text: Any) -> str:
    """Return a text of the data or of a name so that Markdown and HTML show it and obey nothing in it."""
    flat = re.sub(r"\s+", " ", str(text))
    return re.sub(r"([\\`*_{}\[\]<>#|!&])", lambda found: f"&#{ord(found[0])};", flat)
