"""Child processes that cannot outlive us: start, read their output, end them by their own id.

A child is told by its pid and its start time together, so that a pid which the system has given to another program
since is never signalled.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

# A line longer than this is cut in pieces: a child that never ends its line must not fill our memory.
LINE_BYTES_MAX = 1 << 20
# How often the end of a process that is not our child is looked for; nothing can notify us of it.
POLL_S = 0.01
_LAUNCHER = Path(__file__).with_name("launch.py")


class RunAs(StrEnum):
    """Who a child runs as."""

    SELF = "self"
    # As root: an ordinary user inside a user namespace; files stay root's own.
    NAMESPACE = "namespace"
    # As root where namespaces are forbidden.
    NOBODY = "nobody"


class Child:
    """One running program, started by `spawn`."""

    def __init__(self, process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
        """Wrap a process just started; `on_line` gets each line of its output."""
        self._process = process
        self._reader = asyncio.create_task(_read_lines(process, on_line))

    @property
    def pid(self) -> int:
        """The process id; it stays the program's own, since the launcher execs into it."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the program runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end of the program and return its exit code."""
        code = await self._process.wait()
        # A grandchild may hold the pipe open after the program is gone: what it writes is not ours to wait for.
        await asyncio.wait([self._reader], timeout=1)
        self._reader.cancel()
        return code

    async def stop(self, signal_number: signal.Signals = signal.SIGTERM, *, grace_s: float = 10) -> int:
        """Ask the program to end, kill it when `grace_s` seconds have passed, and return its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal_number)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            return await self.wait()


async def spawn(
    argv: Sequence[str],
    *,
    on_line: Callable[[str], None],
    death_signal: signal.Signals,
    run_as: RunAs = RunAs.SELF,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start a program which gets `death_signal` when the thread that called this is gone (Linux).

    The program has a session of its own, so that Ctrl-C in the terminal reaches the supervisor alone, which stops its
    children in order. Standard output and error come merged, line by line, to `on_line`.
    """
    command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(int(death_signal)), str(os.getpid()), run_as, "--"]
    process = await asyncio.create_subprocess_exec(
        *command,
        *argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        cwd=cwd,
        start_new_session=True,
    )
    return Child(process, on_line)


async def _read_lines(process: asyncio.subprocess.Process, on_line: Callable[[str], None]) -> None:
    pending = b""
    if process.stdout is None:
        return
    while chunk := await process.stdout.read(1 << 16):
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > LINE_BYTES_MAX:
            lines.append(pending)
            pending = b""
        for line in lines:
            on_line(line.decode(errors="replace").rstrip("\r"))
    if pending:
        on_line(pending.decode(errors="replace"))


def started_at(pid: int) -> str | None:
    """Return an opaque mark of when the process began, or None when there is no such process (or only its zombie)."""
    if sys.platform == "linux":
        try:
            # proc_pid_stat(5): the command name, in brackets, may itself hold spaces; state is field 3, start time 22.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    shown = subprocess.run(  # noqa: S603 - fixed program, the argument is a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None


def write_pid_file(path: Path, pid: int) -> None:
    """Record a process so that `end_leftover` can tell it from a later one with the same pid."""
    path.write_text(f"{pid}\n{started_at(pid) or ''}\n")


async def end_leftover(path: Path, signal_number: signal.Signals = signal.SIGTERM, *, grace_s: float = 10) -> None:
    """End the process of a pid file if it still runs, and remove the file. A missing or torn file is no error."""
    if named := _read_pid_file(path):
        await end(*named, signal_number, grace_s=grace_s)
    path.unlink(missing_ok=True)  # noqa: ASYNC240 - one small local file, before anything is served


def _read_pid_file(path: Path) -> tuple[int, str] | None:
    try:
        pid, mark = path.read_text().split("\n")[:2]
        return int(pid), mark
    except (OSError, ValueError):
        return None


async def end(pid: int, mark: str, signal_number: signal.Signals, *, grace_s: float = 10) -> None:
    """End a process that is not our child, by force when `grace_s` seconds have passed.

    `mark` is what `started_at` said of it; a process with another mark is left alone.
    """
    for each_signal in (signal_number, signal.SIGKILL):
        if not mark or started_at(pid) != mark:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, each_signal)
        deadline = time.monotonic() + grace_s
        while started_at(pid) == mark and time.monotonic() < deadline:
            await asyncio.sleep(POLL_S)
