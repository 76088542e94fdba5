"""Results of a version that did not write down how pictures are read go on, and those of other settings do not."""

import json

import pytest

from overfocus.core.errors import OverfocusError
from overfocus.core.preprocess import DEFAULT
from overfocus.downstream.detect import DetectSettings
from overfocus.downstream.transfer import RECORD, _earlier
from overfocus.training.experiment import Experiment

NEW = DEFAULT.as_dict().keys()


def without(settings: dict) -> dict:
    """Return what an older version wrote."""
    return {k: without(v) if isinstance(v, dict) else v for k, v in settings.items() if k not in NEW}


@pytest.mark.parametrize(
    "settings",
    [DetectSettings.read({}, "test").model_dump(mode="json"), Experiment.read({}, "test").model_dump(mode="json")],
)
def test_earlier_results_stay(tmp_path, settings):
    assert without(settings) != settings
    (tmp_path / RECORD).write_text(json.dumps({"outcomes": [], "settings": without(settings)}))
    assert _earlier(tmp_path, settings) == []
    changed = json.loads(json.dumps(settings))
    changed.get("data" if isinstance(changed["data"], dict) else "", changed)["orientation"] = "stored"
    with pytest.raises(OverfocusError, match="other settings"):
        _earlier(tmp_path, changed)
