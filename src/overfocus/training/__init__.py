"""Training: the objective of a step, the recipe of a run, the loop."""
