"""Time of each common corruption on one core: `python benchmarks/corruption.py [side] [images]`.

Milliseconds for one severity of the whole batch, the best of three, and the sum over all 75.
"""

import sys
import time

import torch

from overfocus.core.draw import Draw
from overfocus.diagnosis.corruption import CORRUPTIONS, SEVERITIES, corrupted


def seconds(name: str, pixels: torch.Tensor) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for severity in SEVERITIES:
            corrupted(name, pixels, severity, Draw.seeded(0))
        best = min(best, time.perf_counter() - start)
    return best


def main(side: int = 32, images: int = 64) -> None:
    torch.set_num_threads(1)
    pixels = torch.rand(images, 3, side, side, generator=torch.Generator().manual_seed(0))
    found = {name: seconds(name, pixels) for name in CORRUPTIONS}
    for name, spent in found.items():
        print(f"{name:15s} {1000 * spent / len(SEVERITIES):8.1f} ms")
    print(f"{'all 75':15s} {1000 * sum(found.values()):8.1f} ms for {images} images of {side} px")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
