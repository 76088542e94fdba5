"""What a trained network is worth elsewhere: as the encoder of a detector, and fine-tuned on other classes."""
