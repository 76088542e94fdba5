"""A classifier whose answer is known: it reads the red of the upper left corner and nothing else."""

from io import BytesIO

import torch
from PIL import Image
from torch import nn

from overfocus.core.place import packed
from overfocus.core.preprocess import Preprocess
from overfocus.data import Split
from overfocus.data.images import TensorImages
from overfocus.diagnosis.classifier import Classifier
from overfocus.viewer.pictures import PictureList
from overfocus.viewer.window import Model, Window

SIZE = (12, 16)
CORNER = (slice(0, 4), slice(0, 5))
CLASSES = ("grey", "red", "<b>never</b>")


class Corner(nn.Module):
    """Logit of class 1: how red the corner is; of class 0: 0.5 in the same unit; class 2 is never answered."""

    def __init__(self):
        super().__init__()
        self.red = nn.Conv2d(3, 1, 1, bias=False)
        self.head = nn.Linear(1, 3)
        with torch.no_grad():
            self.red.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
            self.head.weight.copy_(torch.tensor([[0.0], [20.0], [0.0]]))
            self.head.bias.copy_(torch.tensor([10.0, 0.0, -30.0]))

    def forward(self, images):
        features = self.red(images)
        return self.head(features[:, :, CORNER[0], CORNER[1]].mean(dim=(2, 3)))


def corner(name="corner", **more):
    return Classifier(name, Corner().eval(), (0.0,) * 3, (1.0,) * 3, CLASSES, **more)


def red_picture():
    """A picture that is red in the corner, and dark noise elsewhere."""
    picture = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0)) * 0.3
    picture[0, CORNER[0], CORNER[1]] = 1.0
    return picture


def window(*classifiers, trained_on=True):
    """A window over nine pictures of the data, the first of them red in the corner, and as many to train on."""
    pixels = torch.stack([red_picture() * (1 - 0.1 * number) for number in range(9)])
    split = Split(TensorImages((pixels * 255).round().byte(), "made"), torch.arange(9) % 3, CLASSES)
    pictures, known = (PictureList(split, Preprocess(size=SIZE), 3) for _ in range(2))
    models = tuple(Model(each, f"runs/{each.name}") for each in classifiers or (corner(at="red"),))
    return Window(models, pictures, known if trained_on else None, "corner")


def bits(*place):
    """The mask that a brush left at a place, as a page sends it."""
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[place] = True
    return packed(mask)


def encoded(size=(40, 30), kind="PNG", exif=None, colour=(255, 0, 0)):
    """The bytes of an image file, `size` (width, height), red."""
    memory = BytesIO()
    Image.new("RGB", size, colour).save(memory, kind, **({"exif": exif} if exif else {}))
    return memory.getvalue()
