"""Work on threads, some pieces ahead of whoever takes the results, and no more of them kept than that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.decode import processors
from overfocus.data.images import Images

THREADS = 8
"""Of one process at most: more would only wait for the interpreter's lock, which Pillow releases while it decodes."""
Read = list[Tensor | OverfocusError]
"""Images [C, H, W] uint8; in place of one that cannot be read the error that says why."""
P = TypeVar("P")
R = TypeVar("R")


def ahead(work: Callable[[P], R], pieces: Iterable[P]) -> Iterator[R]:
    """Yield `work(piece)` of all pieces, in order. At most one result for each thread, and one more, is in memory."""
    count = min(processors(), THREADS)
    pool, waiting = ThreadPoolExecutor(count), deque[Future[R]]()
    try:
        for piece in pieces:
            waiting.append(pool.submit(work, piece))
            if len(waiting) > count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(images: Images, batch: int) -> Iterator[Read]:
    """Yield all images in order, `batch` at a time."""
    starts = range(0, len(images), batch)
    return ahead(partial(_read, images), (range(start, min(start + batch, len(images))) for start in starts))


def _read(images: Images, rows: range) -> Read:
    return [_attempt(images, row) for row in rows]


def _attempt(images: Images, row: int) -> Tensor | OverfocusError:
    """Return the image or the error, whatever a decoder raises: one file must not stop a hundred thousand."""
    try:
        return images.read(row)
    except OverfocusError as error:
        return error
    except Exception as error:
        return OverfocusError(f"{images.name(row)}: cannot be read ({type(error).__name__}: {error})")
