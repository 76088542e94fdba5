"""Memory that is freed is kept for what comes next."""

import resource
import subprocess
import sys

import pytest

PAGE = resource.getpagesize()
HELD = """
import sys, torch
from pathlib import Path
from overfocus.core.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
pages = lambda: int(Path("/proc/self/statm").read_text().split()[1])
before = pages()
torch.empty(2**28, dtype=torch.uint8).fill_(1)
print(pages() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_pages_that_were_freed_are_still_there():
    pages = {
        how: int(subprocess.run([sys.executable, "-c", HELD, how], capture_output=True, text=True, check=True).stdout)
        for how in ("keep", "leave")
    }
    assert pages["keep"] * PAGE > 0.9 * 2**28
    assert pages["leave"] * PAGE < 0.1 * 2**28
