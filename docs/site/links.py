"""Links from docs/ to files outside of it have no page on the site: their path is shown instead. Links to a notebook
lead to the page of its run.
"""

import re
from typing import Any


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to ../PATH into the path and to notebooks into their pages, on the pages that lie in docs/ itself."""
    if "/" in page.file.src_uri:
        return markdown
    markdown = re.sub(r"\((notebooks/\w+)\.ipynb\)", r"(\1.md)", markdown)
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)([^)#]+)[^)]*\)", r"\1 (`\2`)", markdown)
