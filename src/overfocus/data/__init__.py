"""Images in, batches out: the embedded set, torchvision's, folders, parquet, the hub; boxes and masks come along."""

from overfocus.data.augment import Augment as Augment
from overfocus.data.augment import Changes as Changes
from overfocus.data.decode import BadImage as BadImage
from overfocus.data.decode import decoded as decoded
from overfocus.data.decode import verified as verified
from overfocus.data.images import Images as Images
from overfocus.data.images import Masks as Masks
from overfocus.data.images import TensorImages as TensorImages
from overfocus.data.load import load as load
from overfocus.data.load import names as names
from overfocus.data.resize import fit as fit
from overfocus.data.resize import fit_boxes as fit_boxes
from overfocus.data.resize import fit_mask as fit_mask
from overfocus.data.resize import fitted as fitted
from overfocus.data.split import Dataset as Dataset
from overfocus.data.split import Split as Split
from overfocus.data.split import Splits as Splits
from overfocus.data.stream import Minibatch as Minibatch
from overfocus.data.stream import Stream as Stream
from overfocus.data.subset import balanced as balanced
from overfocus.data.subset import few as few
from overfocus.data.subset import hold_out as hold_out
from overfocus.data.totem import totem as totem
