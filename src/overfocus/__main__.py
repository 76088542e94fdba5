"""`python -m overfocus` is the command `overfocus`."""

from overfocus.cli.app import main

if __name__ == "__main__":
    main()
