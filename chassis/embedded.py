"""Real PostgreSQL, NATS with JetStream (one server, or a cluster) and Valkey from Python wheels, as our children.

`switchyard up`, the tests and the benchmarks share it. The servers listen on 127.0.0.1 alone and keep everything in one
directory, from which the next start goes on, also after a kill -9 of everything.
"""

import asyncio
import contextlib
import json
import random
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Self

from chassis import folders, processes
from chassis.embedded_programs import (
    NAMES,
    EmbeddedServersError,
    Nats,
    Postgres,
    Program,
    Valkey,
    choose_run_as,
    read_or_make_password,
)

__all__ = ["NAMES", "EmbeddedServers", "EmbeddedServersError", "free_ports", "port_is_free"]

# Below every system's ephemeral range: an outgoing connection must not take the port between two runs.
PORT_MIN, PORT_MAX = 20000, 32000
# A cold start takes one second; recovery after a crash under load some more.
START_DEADLINE_S = 60.0
STOP_GRACE_S = 10.0
READY_POLL_S = 0.01
# A server that ends by itself is started again after this, doubled each time it fails.
RESTART_FIRST_S, RESTART_MAX_S = 0.2, 5.0
# What a server says when its predecessor, killed a moment ago, has not quite gone.
TRANSIENT_FAILURES = ("is still in use", "Address already in use", "address already in use")
# Lines of a server's output that an error message quotes.
TAIL_LINES = 15


def port_is_free(port: int) -> bool:
    """Say whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As the servers do it: connections that linger from the last run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Choose ports that nobody listens on, at random so that two callers at once rarely meet.

    Raises EmbeddedServersError when there are not enough.
    """
    candidates = random.sample(range(PORT_MIN, PORT_MAX), PORT_MAX - PORT_MIN)
    chosen: list[int] = []
    for port in candidates:
        if port_is_free(port):
            chosen.append(port)
        if len(chosen) == count:
            return chosen
    message = f"fewer than {count} free ports between {PORT_MIN} and {PORT_MAX} on 127.0.0.1"
    raise EmbeddedServersError(message)


class EmbeddedServers:
    """The running servers of one data directory."""

    def __init__(self, data_dir: Path, lock: IO[str], on_line: Callable[[str, str], None] | None) -> None:
        """Use `EmbeddedServers.start`."""
        self._data_dir = data_dir
        self._lock = lock
        self._on_line = on_line
        self._programs: dict[str, Program] = {}
        self._nats: list[Nats] = []
        self._children: dict[str, processes.Child] = {}
        self._tails: dict[str, deque[str]] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._logs: dict[str, IO[str]] = {}

    @classmethod
    async def start(
        cls,
        data_dir: Path,
        *,
        fsync: bool,
        ports: Mapping[str, int] | None = None,
        servers: frozenset[str] = NAMES,
        nodes: int = 1,
        keep_alive: Callable[[], None] | None = None,
        on_line: Callable[[str, str], None] | None = None,
    ) -> Self:
        """Start the servers (about one second cold) and return when all of them serve.

        `fsync`: what is acknowledged is on the disk; without it a crash of the machine loses data, which tests do not
        mind. `ports`: these, by name, instead of those of the last run or free ones. `servers`: some of "postgres",
        "nats", "valkey". `nodes`: how many NATS servers; several are a cluster and called "nats-1", "nats-2" and so on.
        `keep_alive`: start a server again that ends by itself, and then call this. `on_line` gets (server name, line)
        for each line of output; without it they go to `<data_dir>/<name>.log`.

        On Linux the servers are killed with the thread that calls this, so call it from one that lives as long.

        Raises EmbeddedServersError when a server does not start, or when another process runs them from this directory.
        """
        data_dir = data_dir.absolute()  # noqa: ASYNC240 - asks the working directory alone
        try:
            lock = folders.take(data_dir, "embedded.lock")
        except folders.TakenError as error:
            raise EmbeddedServersError(str(error)) from None
        self = cls(data_dir, lock, on_line)
        try:
            await self._end_leftovers()
            run_as = await choose_run_as()
            names = Nats.names(data_dir, nodes) if "nats" in servers else []
            chosen = _choose_ports(data_dir, ["postgres", "valkey", *Nats.port_names(names)]) | dict(ports or {})
            candidates: list[Program] = [
                Postgres(data_dir, chosen["postgres"], run_as, fsync=fsync),
                Valkey(data_dir, chosen["valkey"]),
            ]
            self._programs = {each.name: each for each in candidates if each.name in servers}
            self._nats = [Nats(data_dir, each, names, chosen, fsync=fsync) for each in names]
            self._programs |= {each.name: each for each in self._nats}
            async with asyncio.TaskGroup() as group:
                for program in self._programs.values():
                    group.create_task(self._prepare_and_launch(program))
        except BaseExceptionGroup as failures:
            await self.stop()
            raise failures.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise
        if keep_alive is not None:
            self._keepers = [asyncio.create_task(self._keep(each, keep_alive)) for each in self._programs.values()]
        return self

    async def stop(self) -> None:
        """Stop all servers cleanly; one that does not end within 10 seconds is killed. May be called twice."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._keepers = []
        await asyncio.gather(
            *(
                child.stop(self._programs[name].stop_signal, grace_s=STOP_GRACE_S)
                for name, child in self._children.items()
            )
        )
        for name in self._children:
            self._pid_file(name).unlink(missing_ok=True)
        self._children = {}
        for log in self._logs.values():
            log.close()
        self._logs = {}
        self._lock.close()

    @property
    def postgres_url(self) -> str:
        """The superuser's URL, of the database `postgres`."""
        password = read_or_make_password(self._data_dir)
        return f"postgresql://postgres:{password}@127.0.0.1:{self._programs['postgres'].port}/postgres"

    @property
    def nats_url(self) -> str:
        """The URLs of NATS, one a server, with commas between; without credentials."""
        return ",".join(f"nats://127.0.0.1:{each.port}" for each in self._nats)

    @property
    def nats_monitor_urls(self) -> str:
        """The URLs where the NATS servers tell of themselves, with commas between."""
        return ",".join(f"http://127.0.0.1:{each.monitor_port}" for each in self._nats)

    @property
    def valkey_url(self) -> str:
        """The URL of Valkey's database 0."""
        return f"redis://127.0.0.1:{self._programs['valkey'].port}/0"

    @property
    def pids(self) -> Mapping[str, int]:
        """The process id of each running server, by name."""
        return {name: child.pid for name, child in self._children.items()}

    @property
    def ports(self) -> Mapping[str, int]:
        """The port of each server, by name."""
        return {name: program.port for name, program in self._programs.items()}

    def _pid_file(self, name: str) -> Path:
        return self._data_dir / f"{name}.pid"

    async def _end_leftovers(self) -> None:
        # We hold the lock, so nobody supervises what the pid files name.
        await asyncio.gather(*(processes.end_leftover(path) for path in self._data_dir.glob("*.pid")))

    async def _prepare_and_launch(self, program: Program) -> None:
        await program.prepare(lambda line: self._take_line(program.name, line))
        await self._launch(program)

    async def _launch(self, program: Program) -> None:
        if not port_is_free(program.port):
            await self._wait_for_port(program)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                while not await self._launch_once(program):
                    await asyncio.sleep(READY_POLL_S * 10)
        except TimeoutError:
            raise EmbeddedServersError(self._explain(program, f"did not serve in {START_DEADLINE_S:.0f} s")) from None

    async def _wait_for_port(self, program: Program) -> None:
        """Give a predecessor killed a moment ago the time to let the port go."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while not port_is_free(program.port):
                    await asyncio.sleep(READY_POLL_S)
                return
        message = f"{program.name}: port {program.port} of 127.0.0.1 is taken by another program"
        raise EmbeddedServersError(message)

    async def _launch_once(self, program: Program) -> bool:
        """Start the program and wait until it serves. False: a failure that passes."""
        tail = self._tails[program.name] = deque(maxlen=TAIL_LINES)
        child = await processes.spawn(
            program.argv,
            on_line=lambda line: self._take_line(program.name, line),
            death_signal=program.death_signal,
            run_as=program.run_as,
            cwd=program.cwd,
        )
        self._children[program.name] = child
        processes.write_pid_file(self._pid_file(program.name), child.pid)
        while child.returncode is None:
            if await program.serves(child.pid):
                return True
            await asyncio.sleep(READY_POLL_S)
        await child.wait()
        if any(sign in line for line in tail for sign in TRANSIENT_FAILURES):
            return False
        raise EmbeddedServersError(self._explain(program, f"ended with exit code {child.returncode}"))

    async def _keep(self, program: Program, notify: Callable[[], None]) -> None:
        delay_s = RESTART_FIRST_S
        while True:
            await self._children[program.name].wait()
            self._take_line(program.name, "ended by itself; starting it again")
            await asyncio.sleep(delay_s)
            try:
                await program.heal()
                await self._launch(program)
                delay_s = RESTART_FIRST_S
            except EmbeddedServersError as error:
                self._take_line(program.name, str(error))
                delay_s = min(delay_s * 2, RESTART_MAX_S)
            notify()

    def _take_line(self, name: str, line: str) -> None:
        self._tails.setdefault(name, deque(maxlen=TAIL_LINES)).append(line)
        if self._on_line is not None:
            self._on_line(name, line)
            return
        if name not in self._logs:
            # Line by line, so that the log is whole when we are killed.
            self._logs[name] = (self._data_dir / f"{name}.log").open("a", buffering=1)
        self._logs[name].write(line + "\n")

    def _explain(self, program: Program, what: str) -> str:
        return "\n  ".join([f"{program.name} {what}. Its last words:", *self._tails[program.name]])


def _choose_ports(data_dir: Path, names: Iterable[str]) -> dict[str, int]:
    """Keep the ports of the last run where they are still free, so that a client's URL stays true."""
    path = data_dir / "ports.json"
    wanted = list(names)
    chosen = dict(zip(wanted, free_ports(len(wanted)), strict=True))
    remembered: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        remembered = {name: port for name, port in json.loads(path.read_text()).items() if isinstance(port, int)}
    chosen |= {name: port for name, port in remembered.items() if name in chosen and port_is_free(port)}
    path.write_text(json.dumps(remembered | chosen))
    return chosen
