"""LayerCAM: features weighed by their positive gradient, position by position.

Source: Jiang et al., "LayerCAM" (IEEE TIP 2021, doi 10.1109/TIP.2021.3089943), equations 3 and 4; not on arXiv.

Formula: L = ReLU(sum_c ReLU(g_c) A_c).

Settings: none.

Made for earlier, finer layers, where a channel's mean gradient says little.

Where it misleads: negative gradients are dropped, so evidence against the class cannot cancel and the map is wider than
HiResCAM's. Behind a head whose features are all positive, half of what it shows may be undone by the other half.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from overfocus.attribution.attribution import LayerMethod


@dataclass(frozen=True)
class LayerCAM(LayerMethod):
    """Features weighed by positive gradients; at least 0."""

    def _map(self, features: Tensor, gradient: Tensor) -> Tensor:
        return (features * gradient.relu()).sum(dim=1).relu()
