"""One file = one section of an examination."""

from pkgutil import iter_modules

NAMES = tuple(file.name for file in iter_modules(__path__))
"""Of all sections, in alphabetical order; read off the folder, so that listing them imports none."""
