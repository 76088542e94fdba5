"""The name of the cut: the last features before pooling, whatever layer that is in a network.

`@features` is reserved; every other name is that of a module. The old spelling, `features`, is the name of a module in
VGG, DenseNet and others, so it still means the cut, and says so.
"""

from overfocus.core.deprecation import warn_renamed

FEATURES = "@features"
OLD = "features"


def layer_name(at: str, level: int = 4) -> str:
    """Return `at`, the old spelling of the cut by the new one, with a warning; `level` as `warnings.warn` counts it."""
    if at != OLD:
        return at
    warn_renamed("at='features', the last features before pooling,", "at='@features'", level)
    return FEATURES
