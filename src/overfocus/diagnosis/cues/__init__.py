"""One file = one cue that answers may be read from."""
