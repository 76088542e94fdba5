"""Image classifiers that look at the whole object: train, diagnose and compare them.

The public names, each loaded when it is first used, so that the command line answers without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from overfocus.renamed import install as _install
from overfocus.version import __version__ as __version__

if TYPE_CHECKING:
    from overfocus.attribution.catalogue import attribute as attribute
    from overfocus.core.batch import Batch as Batch
    from overfocus.core.errors import OverfocusError as OverfocusError
    from overfocus.core.key import Key as Key
    from overfocus.core.targets import Targets as Targets
    from overfocus.data import Augment as Augment
    from overfocus.data import Stream as Stream
    from overfocus.data import load as load
    from overfocus.diagnosis.diagnosis import Diagnosis as Diagnosis
    from overfocus.diagnosis.examination import diagnose as diagnose
    from overfocus.integrations.functions import cutmix as cutmix
    from overfocus.integrations.functions import cutout as cutout
    from overfocus.integrations.functions import mixup as mixup
    from overfocus.models.checkpoints import load_weights as load_weights
    from overfocus.models.overfocus_cnn import OverfocusCNN as OverfocusCNN
    from overfocus.models.split import split as split
    from overfocus.models.zoo import create_model as create_model
    from overfocus.regularizers.cutmix import CutMix as CutMix
    from overfocus.regularizers.cutout import Cutout as Cutout
    from overfocus.regularizers.dropblock import DropBlock as DropBlock
    from overfocus.regularizers.dropout import Dropout as Dropout
    from overfocus.regularizers.mixup import Mixup as Mixup
    from overfocus.regularizers.oneof import OneOf as OneOf
    from overfocus.regularizers.regularizer import Chain as Chain
    from overfocus.regularizers.regularizer import Regularizer as Regularizer
    from overfocus.regularizers.sgdrop import SGDrop as SGDrop
    from overfocus.regularizers.spatialdropout import SpatialDropout as SpatialDropout
    from overfocus.regularizers.spec import parse as parse
    from overfocus.training.experiment import Experiment as Experiment
    from overfocus.training.loop import train as train
    from overfocus.training.objective import Objective as Objective

_HOME = {
    "Augment": "data",
    "Batch": "core.batch",
    "Chain": "regularizers.regularizer",
    "CutMix": "regularizers.cutmix",
    "Cutout": "regularizers.cutout",
    "Diagnosis": "diagnosis.diagnosis",
    "Key": "core.key",
    "DropBlock": "regularizers.dropblock",
    "Dropout": "regularizers.dropout",
    "Experiment": "training.experiment",
    "Mixup": "regularizers.mixup",
    "Objective": "training.objective",
    "OneOf": "regularizers.oneof",
    "OverfocusCNN": "models.overfocus_cnn",
    "OverfocusError": "core.errors",
    "Regularizer": "regularizers.regularizer",
    "SGDrop": "regularizers.sgdrop",
    "SpatialDropout": "regularizers.spatialdropout",
    "Stream": "data",
    "Targets": "core.targets",
    "attribute": "attribution.catalogue",
    "create_model": "models.zoo",
    "cutmix": "integrations.functions",
    "cutout": "integrations.functions",
    "diagnose": "diagnosis.examination",
    "load": "data",
    "load_weights": "models.checkpoints",
    "mixup": "integrations.functions",
    "parse": "regularizers.spec",
    "split": "models.split",
    "train": "training.loop",
}
__all__ = ["__version__", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


_install()
