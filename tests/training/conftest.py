from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import STARTED, photos

# Two processes share two cores here, and bytes are compared: sums of several threads come in another order.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    while STARTED:
        process = STARTED.pop()
        if process.is_alive():
            process.kill()
            process.join()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, for tests that leave it as it is."""
    return photos(tmp_path_factory.mktemp("data") / "photos")
