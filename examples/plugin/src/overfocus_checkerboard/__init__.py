"""A method for overfocus: `checkerboard`."""
