"""A classifier whose answer is known: it reads the red of the upper left corner and nothing else."""

import torch
from torch import nn

from overfocus.diagnosis.classifier import Classifier

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
