"""The mode of modules, training or evaluation, for a while."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(modules: Iterable[nn.Module], training: bool = False) -> Iterator[None]:
    """Set the mode of `modules`, not of their children, and give each its own mode back at the end."""
    modes = [(module, module.training) for module in modules]
    try:
        for module, _ in modes:
            module.training = training
        yield
    finally:
        for module, mode in modes:
            module.training = mode
