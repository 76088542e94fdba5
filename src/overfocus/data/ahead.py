"""Pictures read on threads, some batches ahead of whoever looks at them, and no more of them kept than that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from overfocus.core.errors import OverfocusError
from overfocus.data.decode import processors
from overfocus.data.images import Images
from overfocus.data.worker import THREADS

Read = list[Tensor | OverfocusError]
"""Images [C, H, W] uint8; in place of one that cannot be read the error that says why."""


def read_ahead(images: Images, batch: int) -> Iterator[Read]:
    """Yield all images in order, `batch` at a time. At most one batch for each thread, and one more, is in memory."""
    count = min(processors(), THREADS)
    pool, ahead = ThreadPoolExecutor(count), deque[Future[Read]]()
    try:
        for start in range(0, len(images), batch):
            ahead.append(pool.submit(_read, images, range(start, min(start + batch, len(images)))))
            if len(ahead) > count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


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
