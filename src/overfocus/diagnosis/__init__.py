"""What runs a model to find out how it looks: evidence, and the examination made of it."""
