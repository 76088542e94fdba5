"""The page of metrics is that of the code."""

from pathlib import Path

from overfocus.commands.catalogue import metrics, metrics_page
from overfocus.metrics import spread

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_docs_list_what_the_code_has():
    assert PAGE.read_text(encoding="utf-8").endswith(metrics_page()), "write metrics_page() into docs/metrics.md"


def test_every_metric_says_what_it_is():
    found = [metric for _, metric in metrics()]
    assert spread.GINI in found
    assert len({metric.title for metric in found}) == len(found)
    for metric in found:
        assert metric.formula
        assert metric.better in ("higher", "lower", "neither")
        assert metric.low < metric.high
