"""Progress of a study: bars on a terminal, a line for each run that ends in a log."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from overfocus.study.answers import SCORES, Answers
from overfocus.study.engines.engine import Outcome
from overfocus.study.run_key import ANSWERS, RunKey
from overfocus.study.run_study import Status
from overfocus.study.study import Study
from overfocus.training.run import Run

WIDEST = 60
"""Letters of a run's name."""


class StudyProgress(Progress):
    """Shows the progress of a study; on standard error, so that standard output is the result alone."""

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        console = console or Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
        super().__init__(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}", markup=False), console=console, transient=True,
            disable=not console.is_terminal,
        )  # fmt: skip
        self.folder = folder.absolute()
        self.whole = self.add_task("study", total=1.0, text="")
        self.bars: dict[RunKey, TaskID] = {}
        self.metric = "accuracy"

    def begin(self, study: Study) -> None:
        """Say what is only examined, as it is trained already, and how."""
        self.metric, record = study.metric, study.examine.record
        states = [key.state(self.folder, record) for key in study.run_keys() if Run(key.folder(self.folder)).finished]
        left = sum(state != "finished" for state in states)
        if record and left:
            sections = ", ".join(study.examine.sections)
            text = f"{left} run{'s' * (left > 1)} trained already, to be examined anew: {sections}"
            self.console.print(text, markup=False)

    def show(self, status: Status) -> None:
        """Print what ended, and move the bars."""
        for outcome in status.news:
            self._print(outcome, status)
        failed = f", {len(status.failed)} failed" if status.failed else ""
        left = f", about {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
        text = f"{len(status.finished)} of {status.total} runs{failed}{left}"
        self.update(self.whole, completed=status.done, text=text)
        for key in [each for each in self.bars if each not in status.running]:
            self.remove_task(self.bars.pop(key))
        for key, (done, epochs) in status.running.items():
            if key not in self.bars:
                self.bars[key] = self.add_task(f"  {_name(key)}", total=epochs, text="")
            text = f"epoch {done}/{epochs}" if done < epochs else "examining"
            self.update(self.bars[key], completed=done, text=text)

    def _print(self, outcome: Outcome, status: Status) -> None:
        done = f"{len(status.finished) + len(status.failed)}/{status.total}"
        key = outcome.job.key
        if outcome.state == "finished":
            score = Answers.load(key.folder(self.folder) / ANSWERS).score(self.metric)
            self.console.print(f"{done}  {_name(key)}: {SCORES[self.metric]} {score:.4f}", markup=False)
        else:
            error = outcome.error.partition("\n")[0]
            self.console.print(f"{done}  {_name(key)}: failed: {error}", markup=False, style="yellow")


def _name(key: RunKey) -> str:
    name = str(key)
    return name if len(name) <= WIDEST else name[: WIDEST - 1] + "…"


def duration(seconds: float) -> str:
    """Return seconds in words, two units at most."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes < 10 else f"{minutes} min"
