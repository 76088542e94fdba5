"""Where the evidence lies: (model or head, input, targets) -> map."""
