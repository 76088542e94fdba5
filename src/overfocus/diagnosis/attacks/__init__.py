"""Adversarial attacks, and what shows that a network hides its gradient from them."""
