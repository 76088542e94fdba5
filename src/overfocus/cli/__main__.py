"""`python -m overfocus.cli`, from when the command line was one module, is `python -m overfocus`."""

from overfocus.cli.app import main

main()
