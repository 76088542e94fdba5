"""What the tests of the command line share."""

import signal
import sys

import pytest

from overfocus.cli import app as cli


@pytest.fixture
def overfocus(monkeypatch, capfd):
    """Run the command line in this process: (exit code, standard output, standard error)."""
    kept = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(cli, "_print_anything", lambda: None)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["overfocus", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capfd.readouterr()

    yield call
    for each, handler in kept.items():
        signal.signal(each, handler)
