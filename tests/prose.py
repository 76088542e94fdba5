"""What a sentence shows besides its English: its numbers."""

import re


def numbers(text: str) -> list[str]:
    """Return the numbers of `text` as they are written, signs and all: "+0.6 points [-0.6, 1.8]" -> three."""
    return re.findall(r"[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", text)
