"""The command line: arguments in, calls out."""

from overfocus.cli.app import main as main
