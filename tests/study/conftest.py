from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, for tests that leave it as it is."""
    from small import photos

    return photos(tmp_path_factory.mktemp("data") / "photos")
