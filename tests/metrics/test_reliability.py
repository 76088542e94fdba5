import pytest
import torch

from overfocus.metrics.reliability import diagram


def test_diagram_by_hand():
    found = diagram(torch.tensor([0.6, 0.7, 0.9]), torch.tensor([1.0, 0.0, 1.0]), 4)
    assert found.count.tolist() == [0, 0, 2, 1]
    assert found.confidence[2:].tolist() == pytest.approx([0.65, 0.9])
    assert found.accuracy[2:].tolist() == [0.5, 1.0]
    assert found.accuracy[:2].isnan().all()
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
