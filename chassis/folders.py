"""A directory that one process owns, and private files in it."""

import fcntl
import os
from pathlib import Path
from typing import IO


class TakenError(Exception):
    """Another running process owns the directory."""


def take(folder: Path, lock_name: str) -> IO[str]:
    """Own the folder until the returned file is closed; the kernel gives it back however the process ends.

    Raises TakenError when another process owns it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / lock_name).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        message = f"{folder} is already run by another process; stop that one first"
        raise TakenError(message) from None
    return lock


def write_private(path: Path, text: str) -> None:
    """Replace a file whole or not at all, never readable by others, not even for a moment."""
    draft = path.with_name(path.name + ".writing")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
