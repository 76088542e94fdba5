import subprocess
import sys

import pytest


@pytest.mark.slow
def test_heavy_libraries_wait_until_they_are_needed():
    script = (
        "import sys, overfocus.data as data; data.load('totem')\n"
        "print([name for name in ('torchvision', 'sklearn', 'pyarrow', 'datasets', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
