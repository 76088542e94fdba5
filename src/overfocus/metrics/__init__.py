"""Evidence in, numbers out: pure functions of tensors, which never see a model."""
