"""Runs and checkpoints as things to be compared."""
