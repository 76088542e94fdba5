"""One file = one section of an examination."""
