"""One file = one layout in which people keep labelled images."""
