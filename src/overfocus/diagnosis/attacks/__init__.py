"""Adversarial attacks, and what tells that a network hides its gradient from them."""
