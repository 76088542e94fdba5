"""Models by name, and where to cut them."""
