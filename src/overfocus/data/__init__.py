"""Images in, batches out: the embedded set, torchvision's, folders, parquet, the hub; boxes and masks come along."""

from overfocus.data.augment import Augment, Changes
from overfocus.data.decode import BadImage, decoded, verified
from overfocus.data.images import Images, Masks, TensorImages
from overfocus.data.load import load, names
from overfocus.data.resize import fit, fit_boxes, fit_mask, fitted
from overfocus.data.split import Dataset, Split, Splits
from overfocus.data.stream import Minibatch, Stream
from overfocus.data.subset import balanced, few, hold_out
from overfocus.data.totem import totem

__all__ = [
    "Augment",
    "BadImage",
    "Changes",
    "Dataset",
    "Images",
    "Masks",
    "Minibatch",
    "Split",
    "Splits",
    "Stream",
    "TensorImages",
    "balanced",
    "decoded",
    "few",
    "fit",
    "fit_boxes",
    "fit_mask",
    "fitted",
    "hold_out",
    "load",
    "names",
    "totem",
    "verified",
]
