"""Where the command prints tables."""

from rich.console import Console

WIDTH_MIN = 110


def wide() -> Console:
    """A console that prints whole names and passwords, however narrow the window: they are copied."""
    console = Console()
    return console if console.width >= WIDTH_MIN else Console(width=WIDTH_MIN)
