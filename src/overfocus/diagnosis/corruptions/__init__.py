"""Common corruptions of images, and what they are made of."""
