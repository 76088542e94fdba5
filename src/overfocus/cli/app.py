"""The command line: commands in groups, signals and exit codes. A command imports what it calls when it is called."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import traceback
import warnings
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from overfocus.cli import check, diagnose, downstream, evaluate, lists, predict, study, train
from overfocus.cli import open as window
from overfocus.core.allocator import keep_freed_memory
from overfocus.core.errors import OverfocusError

GROUPS = {
    "Your data": [check.app],
    "One run": [train.app, evaluate.app],
    "New pictures": [predict.app],
    "Where a classifier looks": [diagnose.app, window.app],
    "Methods compared": [study.app, downstream.app],
    "Names to choose from": [lists.app],
}
"""Heading of the help -> the commands below it."""
RESUMABLE = ("train", "study", "tune", "demo")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class GroupedCommands(TyperGroup):
    """The commands, listed under a heading for each group."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line for each command."""
        room = formatter.width - 6 - max(map(len, self.commands))
        for heading, apps in GROUPS.items():
            names = [command.callback.__name__ for app in apps for command in app.registered_commands]  # type: ignore[union-attr]
            with formatter.section(heading):
                formatter.write_dl([(name, self.commands[name].get_short_help_str(room)) for name in names])


app = typer.Typer(
    cls=GroupedCommands,
    help="""Train image classifiers that look at the whole object, and examine any.

    Start with the embedded data set `totem`, or with your own images, a folder for each class:

    \b
    overfocus train --method "cutmix + sgdrop" --out runs/first
    overfocus train --data photos --out runs/photos
    overfocus predict runs/photos new --out predictions.csv
    overfocus diagnose runs/first --out diagnosis

    Exit codes: 0 done; 1 unforeseen error, --debug shows where; 2 invalid input, a one-line message says how to fix
    it; 3 `check --fail-on` found something, or `predict` a picture that cannot be read; 130 and 143 stopped by Ctrl-C
    or SIGTERM.
    """,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for each in (app for apps in GROUPS.values() for app in apps):
    app.add_typer(each)


def _show_version(requested: bool) -> None:
    if requested:
        from overfocus.version import __version__

        print(f"overfocus {__version__}")
        raise typer.Exit


@app.callback()
def overfocus(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Take the options before the command."""


def main() -> None:
    """Run the command line. An error is one line on standard error; with --debug its traceback as well."""
    debug = "--debug" in sys.argv[1:2]
    _catch_signals()
    _print_anything()
    keep_freed_memory()
    warnings.filterwarnings("default", ".* is now called ", DeprecationWarning)
    warnings.formatwarning = _in_a_line
    sys.argv[1:] = with_tags(sys.argv[1:])
    try:
        app()
    except OverfocusError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(2)
    except _Stopped as stop:
        resumable = not {*sys.argv[1 : 2 + debug]}.isdisjoint(RESUMABLE)
        print("stopped" + "; the same command resumes after the last completed epoch" * resumable, file=sys.stderr)
        sys.exit(128 + stop.args[0])
    except Exception as error:
        if debug:
            traceback.print_exc()
        words = shlex.join(sys.argv[1:])
        print(f"error: unforeseen {type(error).__name__}: {error}", file=sys.stderr)
        print(f"to see where: overfocus --debug {words}" * (not debug), file=sys.stderr)
        sys.exit(1)
    finally:
        for each in SIGNALS:  # a second one, while the interpreter goes down, has nothing left to clean up
            signal.signal(each, signal.SIG_DFL)


def with_tags(words: list[str]) -> list[str]:
    """Return the words of a command line, "default" written out after a `--pretrained` that nothing or another option
    follows.
    """
    pairs = zip(words, [*words[1:], "-"], strict=False)
    return [each for word, then in pairs for each in ((word, "default") if _bare(word, then) else (word,))]


def _bare(word: str, then: str) -> bool:
    return word == "--pretrained" and then.startswith("-")


class _Stopped(BaseException):
    """A signal asked for the end. Click would turn a KeyboardInterrupt into "Aborted!"."""


def _catch_signals() -> None:
    """Turn Ctrl-C and SIGTERM into an end that cleans up; forked processes end as they always do."""
    here = os.getpid()

    def stop(number: int, frame: object) -> None:
        raise _Stopped(number) if os.getpid() == here else KeyboardInterrupt

    for each in SIGNALS:
        signal.signal(each, stop)


def _in_a_line(message: Warning | str, category: type[Warning], file: str, number: int, line: str | None = None) -> str:
    """Return a warning as an error is printed, without the place in the code."""
    return f"warning: {message}\n"


def _print_anything() -> None:
    """Let a name with letters that the terminal lacks be printed as well as it can."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
