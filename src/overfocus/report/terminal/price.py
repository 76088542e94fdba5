"""What an examination will take, in a line on the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from overfocus.report.terminal.study_progress import duration


def say_price(console: Console, name: str, prices: Mapping[str, int], seconds: float) -> None:
    """Say how long the examination of the model `name` will take at most, and which sections take most of it.

    prices: title -> how many images are passed forward, the most first. seconds: those of one image.
    """
    parts = (f"{title} {duration(count * seconds)}" for title, count in prices.items() if count)
    free = [title for title, count in prices.items() if not count]
    console.print(
        f"{name}: at most about {duration(sum(prices.values()) * seconds)}, at {1000 * seconds:.2g} ms a picture and "
        f"{sum(prices.values()):,} of them, whole or changed: {'; '.join(parts)}"
        f"{'; nothing for ' if free else ''}{', '.join(free)}",
        markup=False, highlight=False, soft_wrap=True, style="dim",
    )  # fmt: skip
