"""Random numbers that depend on a key and on nothing else.

A `Key` is a counter-based random generator, as in Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC
2011): a number is a hash of (key, name, row, column), so there is no state to pass on, to save or to restore. That is
what makes a run the same whatever the number of workers and of processes, resumable at any step, and compilable without
a graph break (a `torch.Generator` cannot cross into a compiled graph). Why: docs/decisions/0001-keyed-draws.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from overfocus.core.deprecation import renamed_property
from overfocus.core.processor import by_hand

_WORD = 0xFFFFFFFF
Words = TypeVar("Words", int, Tensor, np.ndarray)


def _mix(x: Words) -> Words:
    """Scramble 32-bit words, held in int64 or in uint32; every output bit depends on every input bit, and no two words
    become one.

    The finalizer is the one found by hash-prospector (https://github.com/skeeto/hash-prospector, issue 19). Both of its
    multipliers fit in 31 bits, so no product overflows int64 and the result is the same on every device.
    """
    x = x ^ (x >> 16)
    x *= 0x21F0AAAD
    x &= _WORD
    x ^= x >> 15
    x *= 0x735A2D97
    x &= _WORD
    x ^= x >> 15
    return x


@dataclass(frozen=True)
class Key:
    """Random numbers for the rows of a batch: independent of one another, and equal wherever and whenever they are
    drawn.
    """

    words: Tensor
    """[2] int64, two 32-bit words; its device is where the numbers are made."""
    progress: Tensor | float = 1.0
    """Share of training that is done, in [0, 1]: what schedules and ramps read."""
    first_row: int | Tensor = 0
    """Position of row 0 within the global batch, so that two processes draw what one would; or the positions [B]."""

    @staticmethod
    def seeded(
        seed: int, *counters: int | Tensor, device: torch.device | str = "cpu", progress: Tensor | float = 1.0
    ) -> Key:
        """Make the key of a `seed` (any int64) at `counters` such as the epoch and the step, which may be tensors."""
        words = torch.tensor([seed & _WORD, ((seed >> 32) & _WORD) ^ 0x5851F42D], dtype=torch.int64, device=device)
        key = Key(_mix(words), progress)
        for counter in counters:
            key = key.fold_in(counter)
        return key

    def fold_in(self, name: str | int | Tensor) -> Key:
        """Return an independent key for the part of the computation called `name`, or for the step of that number."""
        return replace(self, words=_fold(self.words, _word_of(name) if isinstance(name, str) else name))

    def at(self, rows: Tensor) -> Key:
        """Return the key for the images at the positions `rows` [B]: each gets its own numbers in any batch."""
        return replace(self, first_row=rows)

    key = renamed_property("Key", "key", "words")
    named = renamed_property("Key", "named", "fold_in")
    partners = renamed_property("Key", "partners", "derangement")

    def bits(self, rows: int, columns: int = 1) -> Tensor:
        """Draw 32 random bits: [rows, columns] int64 in [0, 2^32)."""
        if by_hand(self.words):
            return torch.from_numpy(self._bits_by_numpy(rows, columns).astype(np.int64))
        device = self.words.device
        first = self.first_row
        place = first.to(device) if isinstance(first, Tensor) else torch.arange(first, first + rows, device=device)
        row = place[:, None] ^ self.words[0]
        column = torch.arange(columns, device=device)[None] ^ self.words[1]
        # Rows and columns are mixed apart: no row is another one shifted, and the larger tensor is mixed only once.
        return _mix((_mix(row) + _mix(column)) & _WORD)

    def _bits_by_numpy(self, rows: int, columns: int) -> np.ndarray:
        """Draw the same bits as uint32, on the processor: NumPy is quicker to call, and the words are half as wide."""
        first, (low, high) = self.first_row, self.words.tolist()
        place = first.cpu().numpy() if isinstance(first, Tensor) else np.arange(first, first + rows)
        words = _mix(np.concatenate((place ^ low, np.arange(columns) ^ high)).astype(np.uint32))
        return _mix(words[:rows, None] + words[rows:])

    def uniform(self, rows: int, columns: int = 1) -> Tensor:
        """Draw from U[0, 1) in steps of 2^-24: [rows, columns] float32."""
        if by_hand(self.words):
            return torch.from_numpy((self._bits_by_numpy(rows, columns) >> 8).astype(np.float32) * np.float32(2.0**-24))
        return (self.bits(rows, columns) >> 8).float() * 2.0**-24

    def normal(self, rows: int, columns: int = 1) -> Tensor:
        """Draw from N(0, 1) by Box and Muller: [rows, columns] float32."""
        radius, angle = self.uniform(rows, 2 * columns).chunk(2, dim=1)
        return (-2 * torch.log1p(-radius)).sqrt() * torch.cos(2 * torch.pi * angle)

    def order(self, count: int) -> Tensor:
        """Draw a permutation of `count` things: [count] int64. Ties among 2^32 words keep their order."""
        return self.bits(count)[:, 0].argsort(stable=True)

    def derangement(self, rows: int) -> Tensor:
        """Draw another row for every row, each used once: [rows] int64. A batch of one has only itself."""
        order = self.order(rows)
        return torch.empty_like(order).scatter(0, order, order.roll(1))

    def seed(self) -> int:
        """Return a seed in [0, 2^63) for generators that are not ours. Waits for the device."""
        low, high = self.words.tolist()
        return (high << 32 | low) & (2**63 - 1)


def _fold(key: Tensor, counter: int | Tensor) -> Tensor:
    """Mix a `counter` (any int64) into both words of `key`, and the words into one another."""
    if by_hand(key, *([counter] if isinstance(counter, Tensor) else [])):
        first, second = key.tolist()
        return torch.tensor(_fold_numbers(first, second, int(counter)))
    low, high = counter & _WORD, (counter >> 32) & _WORD
    words = _mix(key ^ low)
    # (a + 2 b, b + 2 a) is invertible modulo 2^32, so no two keys become one.
    return _mix((words + 2 * words.flip(0) + high) & _WORD)


def _fold_numbers(first: int, second: int, counter: int) -> tuple[int, int]:
    """Do the same with two words that are at hand, where twenty calls of torch would cost more than the draw."""
    low, high = counter & _WORD, (counter >> 32) & _WORD
    first, second = _mix(first ^ low), _mix(second ^ low)
    return _mix((first + 2 * second + high) & _WORD), _mix((second + 2 * first + high) & _WORD)


@torch.compiler.assume_constant_result
def _word_of(name: str) -> int:
    return crc32(name.encode())


def beta(uniform: Tensor, alpha: float) -> Tensor:
    """Turn U[0, 1) into Beta(alpha, alpha), same shape, by the inverse of its distribution function.

    The inverse is tabulated at 4,097 points and interpolated, which is exact for alpha = 1 and off by less than 2^-12
    in probability for any other, as far as float32 can tell the values apart (close to 1, for small alpha, it cannot).
    torch's own sampler takes no generator and is absent on some devices.
    """
    if alpha == 1.0:
        return uniform
    table = _beta_table(alpha, uniform.device)
    position = uniform * (len(table) - 1)
    below = position.long()
    return torch.lerp(table[below], table[below + 1], position - below)


@torch.compiler.assume_constant_result
def _beta_table(alpha: float, device: torch.device) -> Tensor:
    return _beta_quantiles(alpha, device)


@lru_cache(maxsize=64)
def _beta_quantiles(alpha: float, device: torch.device) -> Tensor:
    """Tabulate the inverse distribution function once for each device: a copy in every step would wait for it."""
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, np.linspace(0, 1, 4097))).float().to(device)
