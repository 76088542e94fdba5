"""The old names of modules, classes and functions, which work for one more minor version with a DeprecationWarning.

A module that moved has a line in MODULES, a name that changed within a module one in NAMES; the code itself knows only
the new names. Nothing is imported before an old name is used. What `report` draws and writes with is internal, and has
no old names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from overfocus.core.deprecation import warn_renamed


def _moved(old: str, new: str, names: str) -> dict[str, str]:
    return {f"{old}.{name}": f"{new}.{name}" for name in names.split()}


MODULES = {
    **_moved(
        "attribution", "attribution.methods",
        "cam eigencam gradcam gradcampp gradxact hirescam integrated_gradients layercam occlusion scorecam smoothgrad",
    ),
    "attribution.memo": "attribution.cache",
    "attribution.sight": "attribution.capture",
    "attribution.still": "attribution.frozen_eval",
    "cli_study": "cli.study",
    "cli_transfer": "cli.downstream",
    "core.draw": "core.key",
    "core.look": "core.head_probe",
    **_moved("data", "data.readers", "cub folder hub parquet tiny_imagenet torchvision_sets"),
    "data.assembly": "data.finalize",
    "data.fit": "data.resize",
    "data.pictures": "data.image_files",
    "data.shortcut": "data.planted_shortcut",
    **_moved(
        "diagnosis", "diagnosis.sections",
        "confidence deletion focus hiding in_between localization outliers robustness shortcut spread transplant",
    ),
    **_moved("diagnosis", "diagnosis.corruptions", "blur corruption weather"),
    "diagnosis.attack": "diagnosis.attacks.attack",
    "diagnosis.common_corruptions": "diagnosis.sections.corruptions",
    "diagnosis.comparison": "diagnosis.side_by_side",
    "diagnosis.distrust": "diagnosis.attacks.gradient_masking",
    "diagnosis.grain": "diagnosis.corruptions.sensor_noise",
    "diagnosis.looking": "diagnosis.map_collector",
    "diagnosis.subject": "diagnosis.classifier",
    "metrics.hits": "metrics.iou_hits",
    "models.transfer": "models.surgery",
    "models.weights": "models.checkpoints",
    "regularizers.chain": "regularizers.regularizer",
    **_moved("report", "commands", "catalogue diagnose explain inspect"),
    "report.headline": "diagnosis.catalogue",
    "report.nominal": "training.expected",
    "report.studying": "commands.study",
    "report.witness": "training.recorder",
    "study.cell": "study.run_key",
    "study.checkpoint": "diagnosis.checkpoints",
    "study.conduct": "study.run_study",
    "study.engine": "study.engines.engine",
    "study.estimate": "study.forecast",
    "study.interval": "statistics.estimate",
    "study.local_engine": "study.engines.local",
    "study.local_worker": "study.engines.local_worker",
    "study.paired": "statistics.paired",
    "study.paired_power": "statistics.power",
    "study.ray_address": "study.engines.ray_address",
    "study.ray_engine": "study.engines.ray",
    "study.slurm_engine": "study.engines.slurm",
    "study.verdict": "statistics.verdict",
    "study.verdict_wording": "statistics.wording",
    "training.look": "training.seam_probe",
    "transfer": "downstream",
    **_moved("transfer", "downstream", "coco detect detector files load objects scenes start task transfer voc"),
}  # fmt: skip
"""Old module -> new module, both within the package."""

NAMES = {
    ":Draw": ":Key",
    "attribution.attribution:Score": "attribution.attribution:ClassScore",
    "attribution.grid:Images": "attribution.grid:ImageShape",
    "attribution.memo:remembered": "attribution.cache:cached",
    "attribution.sight:see": "attribution.capture:capture",
    "attribution.sight:Seen": "attribution.capture:Activations",
    "attribution.still:still": "attribution.frozen_eval:frozen_eval",
    "core.draw:Draw": "core.key:Key",
    "core.look:Look": "core.head_probe:HeadProbe",
    "core.look:Sight": "core.head_probe:HeadAttribution",
    "data.annotations:Report": "data.boxes:BoxReport",
    "data.cub:cub": "data.readers.cub:read",
    "data.folder:from_folder": "data.readers.folder:read",
    "data.parquet:from_parquet": "data.readers.parquet:read",
    "data.shortcut:Shortcut": "data.planted_shortcut:PlantedShortcut",
    "data.split:ChangedImages": "data.images:WrappedImages",
    "data.split:PickedImages": "data.images:PickedImages",
    "data.split:TensorImages": "data.images:TensorImages",
    "data.tiny_imagenet:tiny_imagenet": "data.readers.tiny_imagenet:read",
    "diagnosis.attacks.attack:ATTACKS": "diagnosis.attacks.suite:ATTACKS",
    "diagnosis.comparison:Comparison": "diagnosis.side_by_side:SideBySide",
    "diagnosis.comparison:Row": "diagnosis.side_by_side:MetricRow",
    "diagnosis.distrust:Probe": "diagnosis.attacks.gradient_masking:MaskingProbe",
    "diagnosis.examination:Watch": "diagnosis.section:OnProgress",
    "diagnosis.hiding:centre_distance": "diagnosis.hiding_orders:centre_distance",
    "diagnosis.hiding:elsewhere": "diagnosis.hiding_orders:elsewhere",
    "diagnosis.hiding:ranks": "diagnosis.hiding_orders:ranks",
    "diagnosis.hiding:scattered": "diagnosis.section:scattered",
    "diagnosis.looking:Looking": "diagnosis.map_collector:MapCollector",
    "diagnosis.section:named_as": "diagnosis.section:examples_named",
    "diagnosis.section:Seen": "diagnosis.section:Examples",
    "diagnosis.section:Tick": "diagnosis.section:OnProgress",
    "diagnosis.sections:SECTIONS": "diagnosis.catalogue:SECTIONS",
    "diagnosis.subject:Subject": "diagnosis.classifier:Classifier",
    "integrations.lightning:Classifier": "integrations.lightning:LightningClassifier",
    "integrations.timm:Mixup": "integrations.timm:TimmMixup",
    "metrics.shortcut:Rule": "metrics.shortcut:ShortcutRule",
    "metrics.transplant:Rule": "metrics.transplant:TransplantRule",
    "models.split:Split": "models.split:SplitModel",
    "report.diagnose:explain_checkpoint": "commands.explain:explain_checkpoint",
    "report.diagnose:Order": "commands.diagnose:DiagnosisRequest",
    "report.explain:Spread": "report.rows:SpreadNumbers",
    "report.nominal:nominal": "training.expected:expected",
    "report.studying:DEMO": "commands.demo:DEMO",
    "report.studying:lesson": "commands.demo:conclusion",
    "report.witness:Seen": "training.recorder:SeamRecord",
    "report.witness:WatchedLook": "training.recorder:RecordingProbe",
    "report.witness:Witness": "training.recorder:Recorder",
    "study.answers:said": "study.answers:predict",
    "study.cell:Cell": "study.run_key:RunKey",
    "study.checkpoint:Asked": "diagnosis.checkpoints:CheckpointOptions",
    "study.checkpoint:subject_of": "diagnosis.checkpoints:classifier_of",
    "study.conduct:conduct": "study.run_study:run_study",
    "study.conduct:Conductor": "study.run_study:RunQueue",
    "study.conduct:LOOK": "study.run_study:POLL",
    "study.conduct:Standing": "study.run_study:Status",
    "study.engines:engine_for": "study.engines.backend:engine_for",
    "study.engines:ENGINES": "study.engines.backend:ENGINES",
    "study.engines:Place": "study.engines.backend:Backend",
    "study.engines:workers_for": "study.engines.backend:workers_for",
    "study.estimate:Estimate": "study.forecast:Forecast",
    "study.estimate:estimated": "study.forecast:forecast",
    "study.interval:finite": "core.interval:finite",
    "study.interval:Interval": "core.interval:Interval",
    "study.local_engine:cores": "data.decode:processors",
    "study.tuning:Watch": "study.tuning:OnTrial",
    "training.experiment:AugmentSettings": "data.augment:Augment",
    "training.experiment:ShortcutSettings": "data.planted_shortcut:PlantedShortcut",
    "training.look:HeadLook": "training.seam_probe:SeamProbe",
    "training.loop:Step": "training.steps:Step",
    "training.loop:Watch": "training.steps:OnStep",
    "transfer.task:Tell": "downstream.task:OnEpoch",
    "transfer.transfer:Line": "downstream.transfer:SummaryLine",
    "transfer.transfer:Outcome": "downstream.transfer:TaskResult",
}
"""Old module:name -> new module:name; the old module may be one that moved, or one that is still there."""

_ROOT = __name__.partition(".")[0]
_CHANGED = {name.partition(":")[0] for name in NAMES} - {*MODULES}
"""Modules that are still there, and some of whose names changed."""


def install() -> None:
    """Let the old names be imported."""
    sys.meta_path.insert(0, _Finder())
    _serve(sys.modules[_ROOT], "")


class _Finder(MetaPathFinder, Loader):
    """Finds the old modules, and gives the modules that are still there their old names."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        root, _, name = fullname.partition(".")
        if root != _ROOT or (name not in MODULES and name not in _CHANGED):
            return None
        if name in MODULES:
            return ModuleSpec(fullname, self, is_package=any(each.startswith(f"{name}.") for each in MODULES))
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = partial(_execute, spec.loader.exec_module, name)
        return spec

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__.partition(".")[2]
        warn_renamed(module.__name__, _full(MODULES[name]))
        import_module(_full(MODULES[name]))
        _serve(module, name)


def _execute(execute: Callable[[ModuleType], None], name: str, module: ModuleType) -> None:
    execute(module)
    _serve(module, name)


def _serve(module: ModuleType, old: str) -> None:
    """Let `module`, called `old` within the package, answer to its old names."""
    own = vars(module).get("__getattr__")

    def lookup(name: str) -> Any:
        home, _, new = NAMES.get(f"{old}:{name}", f"{MODULES.get(old, '')}:{name}").partition(":")
        if f"{old}:{name}" in NAMES:
            warn_renamed(f"{module.__name__}.{name}", f"{_full(home)}.{new}")
        elif own is not None:
            return own(name)
        elif old not in MODULES or name.startswith("__"):
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(import_module(_full(home)), new)

    module.__getattr__ = lookup  # type: ignore[method-assign]


def _full(name: str) -> str:
    return f"{_ROOT}.{name}" if name else _ROOT
