"""Image classifiers that look at the whole object: train, diagnose and compare them.

The public names are those of `__init__.pyi`. Each is loaded when it is first used, so that the command line answers
without waiting for torch.
"""

from lazy_loader import attach_stub

from overfocus.renamed import install as _install

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
_install()
