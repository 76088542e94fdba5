"""A trained network without overfocus: weights or a program, checked, with a card."""
