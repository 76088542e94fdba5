"""Which cue is followed, where cues name different classes."""

import pytest
import torch
from torch import nn

from overfocus.core.key import Key
from overfocus.data import Split, Stream, TensorImages
from overfocus.training.evaluate import evaluate, follows


class Painted(nn.Module):
    """Names the class that the first pixel says."""

    def forward(self, images):
        return nn.functional.one_hot((255 * images[:, 0, 0, 0]).round().long(), 7).float()


def stream(said, cues, labels, batch=4):
    pixels = torch.zeros(len(said), 1, 3, 5, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = said
    split = Split(TensorImages(pixels), labels, tuple("abcdefg"), cues=cues)
    return Stream(split, batch=batch, mean=(0.0,), std=(1.0,), train=False)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_each_answer_follows_a_cue_or_none(batch):
    disc, digit = torch.tensor([0, 1, 2, 3, 4, 5, 6, 0, 1, 2]), torch.tensor([1, 2, 3, 4, 5, 6, 0, 1, 2, 3])
    said = torch.tensor([0, 1, 2, 3, 4, 6, 0, 5, 5, 5]).to(torch.uint8)
    scores = evaluate(Painted(), stream(said, {"disc": disc, "digit": digit}, digit, batch))
    assert follows(scores) == {"disc": 0.5, "digit": 0.2, "none": pytest.approx(0.3)}
    assert scores["accuracy"] == 0.2


def test_the_rows_of_a_subset_keep_their_cues():
    disc, digit = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
    whole = stream(torch.tensor([0, 4, 2]).to(torch.uint8), {"disc": disc, "digit": digit}, digit)
    some = Stream(whole.split.subset([2, 1]), batch=2, mean=(0.0,), std=(1.0,), train=False)
    assert follows(evaluate(Painted(), some)) == {"disc": 0.5, "digit": 0.5, "none": 0.0}


def test_where_cues_agree_there_is_nothing_to_follow():
    labels = Key.seeded(0).order(7)
    scores = evaluate(Painted(), stream(labels.to(torch.uint8), {}, labels))
    assert scores == {"accuracy": 1.0, "balanced_accuracy": 1.0, "loss": pytest.approx(scores["loss"]), "images": 7}
    assert follows(scores) == {}
