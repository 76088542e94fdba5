"""`python -m overfocus` is the command `overfocus`."""

from overfocus.cli import main

if __name__ == "__main__":
    main()
