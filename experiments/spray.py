"""The clustering of heat maps that marks.py compares with, after SpRAy (Lapuschkin et al., Nature Comm. 2019).

The maps of the pictures that are named as a class are brought to 8 x 8 and clustered spectrally; the number of
clusters, 2 to 4, is that of the widest gap between eigenvalues of the graph's Laplacian. A class is conspicuous where
its clusters stand well apart: mean silhouette of the maps. `python experiments/marks.py` uses it; it has no command.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse.csgraph import laplacian
from sklearn.cluster import SpectralClustering
from sklearn.metrics import silhouette_score
from sklearn.neighbors import kneighbors_graph

from overfocus.diagnosis.evidence import Evidence

SIDE, FEWEST, MOST = 8, 6, 4
FALSE_ALARMS = 0.1


def weirdness(evidence: Evidence) -> dict[int, float]:
    """Return class -> mean silhouette of the clusters of its maps, for classes with enough pictures."""
    predicted, maps = evidence.logits.argmax(dim=1), evidence.tensor("maps/predicted").float()
    small = torch.nn.functional.interpolate(maps[:, None], (SIDE, SIDE), mode="area").flatten(1).numpy()
    small = small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-12)
    rows = {k: small[(predicted == k).numpy()] for k in predicted.unique().tolist()}
    return {k: _silhouette(each) for k, each in rows.items() if len(each) >= FEWEST}


def _silhouette(maps: np.ndarray) -> float:
    graph = kneighbors_graph(maps, max(2, round(np.log(len(maps)))), include_self=True).toarray()
    graph = (graph + graph.T) / 2
    eigenvalues = np.linalg.eigvalsh(laplacian(graph, normed=True))
    count = int(np.diff(eigenvalues[1 : MOST + 1]).argmax()) + 2
    with warnings.catch_warnings():  # of graphs in several parts, which are clusters as well
        warnings.simplefilter("ignore", UserWarning)
        found = SpectralClustering(count, affinity="precomputed", random_state=0).fit_predict(graph)
    return float(silhouette_score(maps, found)) if 1 < len(set(found)) < len(maps) else 0.0


def threshold(of_networks: Sequence[dict[int, float]]) -> float:
    """Return the smallest threshold that at most 10 % of the classes of these networks exceed."""
    values = sorted((value for each in of_networks for value in each.values()), reverse=True)
    return values[int(FALSE_ALARMS * len(values))] if values else float("inf")
