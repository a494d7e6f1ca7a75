"""`switchyard doctor`: what on this machine would keep the suite from running, and what to do about it."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nats.errors

from chassis import embedded, embedded_programs, stream_rules, streams
from chassis.processes import RunAs, started_at
from cli import environment
from cli.run_dir import RunDir

PYTHON_MIN = (3, 11)
# The servers' empty data takes 60 MB; the rest is room for logs, write-ahead log and streams.
DISK_MIN = 1 << 30
# Eight Python processes of 90 MB, and the three servers.
MEMORY_MIN = 1 << 30
TIMEOUT_S = 5.0
MONITOR_URLS = "SWITCHYARD_NATS_MONITOR_URLS"
_GIB = 1 << 30


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(run_dir: RunDir) -> Iterator[Check]:
    """Look at one thing after the other."""
    yield _python()
    for name, find in (
        ("postgres", lambda: embedded_programs.postgres_binary("postgres")),
        ("nats", embedded_programs.nats_binary),
        ("valkey", embedded_programs.valkey_binary),
    ):
        yield _server(name, find)
    yield _user()
    yield _writable(run_dir.path)
    yield _disk(run_dir.path)
    yield _memory()
    yield _port(run_dir)
    yield from _streams(run_dir)


def _python() -> Check:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Check(
        "python",
        sys.version_info[:2] >= PYTHON_MIN,
        version,
        f"install Python {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or newer",
    )


def _server(name: str, find: Callable[[], Path]) -> Check:
    """An external server must be reachable, an embedded one's program must run here."""
    variable = environment.EXTERNAL[name]
    if urls := os.environ.get(variable):
        addresses = [urlsplit(url) for url in urls.split(",")]
        for address in addresses:
            try:
                socket.create_connection((address.hostname or "", address.port or 0), TIMEOUT_S).close()
            except OSError as error:
                where = f"{address.hostname}:{address.port}"
                return Check(name, ok=False, detail=f"{where}: {error}", remedy=f"start it, or unset {variable}")
        told = ", ".join(f"{address.hostname}:{address.port}" for address in addresses)
        return Check(name, ok=True, detail=f"{told} (external)")
    remedy = f"install requirements.lock again, or set {variable} to a server of your own"
    try:
        shown = subprocess.run(  # noqa: S603 - the wheel's own program
            [str(find()), "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError, embedded_programs.MissingProgramError) as error:
        return Check(name, ok=False, detail=str(error), remedy=remedy)
    return Check(name, ok=True, detail=shown.stdout.strip().splitlines()[0])


def _user() -> Check:
    """PostgreSQL refuses root; there must be a way round it."""
    if os.environ.get(environment.EXTERNAL["postgres"]):
        return Check("user", ok=True, detail="PostgreSQL is external")
    run_as = asyncio.run(embedded_programs.choose_run_as())
    if run_as is RunAs.SELF:
        return Check("user", ok=True, detail="an ordinary user")
    if run_as is RunAs.NAMESPACE:
        return Check("user", ok=True, detail="root; PostgreSQL runs in a user namespace")
    binary = embedded_programs.postgres_binary("postgres")
    reachable = embedded_programs.others_can_reach(binary.parent)
    return Check(
        "user",
        reachable,
        f"root without user namespaces; PostgreSQL runs as nobody, with its data in {embedded_programs.NOBODY_HOME}",
        f"nobody cannot run {binary}: move the environment out of a private home, or work as an ordinary user",
    )


def _writable(path: Path) -> Check:
    folder = _nearest(path)
    remedy = "change its permissions, or set SWITCHYARD_RUN_DIR"
    return Check("run directory", os.access(folder, os.W_OK | os.X_OK), str(path), remedy)


def _disk(path: Path) -> Check:
    free = shutil.disk_usage(_nearest(path)).free
    remedy = f"free {DISK_MIN / _GIB:.0f} GiB, or set SWITCHYARD_RUN_DIR to a larger disk"
    return Check("disk", free >= DISK_MIN, f"{free / _GIB:.1f} GiB free", remedy)


def _memory() -> Check:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Check("memory", available >= MEMORY_MIN, f"{available / _GIB:.1f} GiB available", "close other programs")


def _port(run_dir: RunDir) -> Check:
    try:
        port = environment.http_port()
    except ValueError:
        return Check("port", ok=False, detail="SWITCHYARD_HTTP_PORT is no number", remedy="set it to one, or unset it")
    if is_running(run_dir):
        return Check("port", ok=True, detail=f"{run_dir.state()['url']} (running)")
    remedy = "end what listens there, or set SWITCHYARD_HTTP_PORT"
    return Check("port", embedded.port_is_free(port), f"127.0.0.1:{port}", remedy)


def _streams(run_dir: RunDir) -> Iterator[Check]:
    """What processes in production refuse; of a single server, without the replicas. Nothing when nothing runs."""
    state = run_dir.state() if is_running(run_dir) else {}
    told = {**os.environ, **state.get("nats", {})}
    url, monitor_urls = state.get("nats_url") or told.get(environment.EXTERNAL["nats"]), told.get(MONITOR_URLS)
    if not url or not monitor_urls:
        return
    replicas = int(told.get("SWITCHYARD_STREAM_REPLICAS", "1"))
    if told.get("SWITCHYARD_ENVIRONMENT") == "production":
        replicas = max(replicas, stream_rules.REPLICAS)
    try:
        findings = asyncio.run(_examine(url, monitor_urls, replicas))
    except (nats.errors.Error, TimeoutError) as error:
        yield Check("streams", ok=False, detail=str(error) or repr(error), remedy="start NATS")
        return
    for fault in findings.faults:
        yield Check("streams", ok=False, detail=fault.what, remedy=fault.remedy)
    for line in (*findings.unknown, *findings.away):
        yield Check("streams", ok=False, detail=line, remedy="start it, or see its log")
    if findings == stream_rules.Findings():
        yield Check("streams", ok=True, detail="what is acknowledged is on the disk")


async def _examine(url: str, monitor_urls: str, replicas: int) -> stream_rules.Findings:
    async with asyncio.timeout(TIMEOUT_S):
        connection = await streams.connect(url, "doctor")
        try:
            kept = await connection.jetstream().streams_info()
            names = [each.config.name or "" for each in kept]
            return await stream_rules.examine(connection, names, monitor_urls, replicas=replicas)
        finally:
            await connection.close()


def is_running(run_dir: RunDir) -> bool:
    """Say whether a `switchyard up` runs from the directory now."""
    supervisor = run_dir.state().get("supervisor")
    return supervisor is not None and started_at(supervisor["pid"]) == supervisor["mark"]


def _nearest(path: Path) -> Path:
    """The path, or the deepest of its parents that exists."""
    return next(each for each in (path, *path.parents) if each.exists())
