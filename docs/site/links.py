"""What a page of docs/ links to outside of it lies in the repository, not on the site: its path is shown instead."""

import re
from typing import Any


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links to ../PATH and to decisions into the path."""
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)([^)#]+)[^)]*\)", r"\1 (`\2`)", markdown)
