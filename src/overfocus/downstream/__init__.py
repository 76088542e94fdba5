"""Trained networks on other tasks: as the encoder of a detector, and fine-tuned on other classes."""
