"""One stream of what all processes print, and a file for each of them."""

import sys
from pathlib import Path
from typing import IO

from cli.run_dir import LOG_BYTES_MAX

# ANSI colours that can be read on black and on white.
_COLOURS = (36, 32, 33, 35, 34, 31, 96, 92, 93, 95, 94, 91)
_NAME_WIDTH = 13


class LogStream:
    """Takes lines with the name of their process."""

    def __init__(self, folder: Path, out: IO[str] = sys.stdout) -> None:
        """Write files to the folder and the merged stream to `out`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._out = out
        self._coloured = out.isatty()
        self._colours: dict[str, int] = {}
        self._files: dict[str, IO[str]] = {}

    def take(self, name: str, line: str) -> None:
        """Write one line to both."""
        prefix = f"{name:<{_NAME_WIDTH}}"
        if self._coloured:
            colour = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
        self._out.write(f"{prefix} {line}\n")
        self._out.flush()
        file = self._file(name)
        file.write(line + "\n")

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files = {}

    def _file(self, name: str) -> IO[str]:
        file = self._files.get(name)
        if file is not None and file.tell() < LOG_BYTES_MAX:
            return file
        path = self._folder / f"{name}.log"
        if file is not None:
            file.close()
            path.replace(path.with_suffix(".log.1"))
        # Line by line, so that the log is whole when we are killed.
        self._files[name] = path.open("a", buffering=1)
        return self._files[name]
