"""The processes of a run: three NATS servers, two of `locks`, some of clients, and links between all of them.

    clients ── link ── locks ── link ── NATS ══ link ══ NATS

PostgreSQL, which is not what is tried here, stands beside them and is shared by all runs.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import grpc.aio
import nats
import nats.errors
import nats.js.errors
from grpc_health.v1 import health_pb2, health_pb2_grpc
from joserfc.jwk import OKPKey
from switchyard.locks.v1.events_pb2 import LeaseLost
from uuid_utils.compat import uuid7

from bench.locks_chaos import circle, crowd, process
from bench.locks_chaos.client import BREAKABLE
from bench.locks_chaos.client import Crowd as Told
from bench.locks_chaos.faults import GROUPS, NODES, PROCESSES
from bench.locks_chaos.holder import PAIR
from bench.locks_chaos.judge import Loss, Rules
from bench.locks_chaos.proxy import Link
from bench.suite import SuiteError
from chassis import embedded, migrate, processes
from chassis.embedded import EmbeddedServers
from chassis.embedded_programs import nats_binary
from chassis.identity import Principal
from chassis.rpc import metadata

PASSWORD = "chaos"
STREAM = "KV_locks"
LOCKS = {
    "first": Rules(),
    "second": Rules(),
    "third": Rules(),
    "counted": Rules(permits=2),
    "shared": Rules(shared=True),
    BREAKABLE: Rules(),
    **dict.fromkeys(PAIR, Rules()),
}
EXCLUSIVE = ("first", "second", "third")
# Processes of clients, and clients in each: one that is paused or killed takes all of its clients with it.
CROWDS, CLIENTS = 5, 4
READY_S = 60.0
ASK_S = 1.0
# Ports are free until somebody listens there: of two worlds one takes them after the other.
_OPENING = asyncio.Lock()
# Started from one process that has everything imported already: they are there in no time after a kill.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["bench.saga", "bench.locks_chaos.suite", "services.locks.__main__"])

_TABLE = """
CREATE TABLE IF NOT EXISTS writes (
    sequence bigserial PRIMARY KEY, tenant_id uuid NOT NULL, lock text NOT NULL, token bigint NOT NULL,
    number int NOT NULL, client text NOT NULL
);
GRANT SELECT, INSERT ON writes TO switchyard_chaos;
GRANT USAGE ON SEQUENCE writes_sequence_seq TO switchyard_chaos;
"""
_WRITTEN = "SELECT lock, token, number FROM writes WHERE tenant_id = $1 ORDER BY sequence"
_TOLD = "SELECT envelope FROM outbox WHERE tenant_id = $1"


class Databases:
    """The databases of `locks`, and of the clients, whose resource the locks guard."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url

    async def make(self) -> None:
        for service in ("locks", "chaos"):
            await migrate.provision(self._admin_url, service, PASSWORD)
            await asyncio.to_thread(migrate.upgrade, self._admin_url, service)
        connection = await self._connect()
        await connection.execute(_TABLE)
        await connection.close()

    def url(self, service: str) -> str:
        parts, name = urlsplit(self._admin_url), migrate.database(service)
        return urlunsplit(parts._replace(netloc=f"{name}:{PASSWORD}@{parts.hostname}:{parts.port}", path=f"/{name}"))

    async def writes(self, tenant_id: UUID) -> list[Any]:
        """What a run has written, in the order of the commits: whoever writes to a lock waits for the one before."""
        connection = await self._connect()
        rows: list[Any] = await connection.fetch(_WRITTEN, tenant_id)
        await connection.close()
        return rows

    async def losses(self, tenant_id: UUID) -> list[Loss]:
        """The losses that the world was told of."""
        connection = await self._connect("locks")
        rows = await connection.fetch(_TOLD, tenant_id)
        await connection.close()
        told = [json.loads(row["envelope"]) for row in rows]
        return [_loss(each["data"]) for each in told if each.get("type") == LeaseLost.DESCRIPTOR.full_name]

    async def _connect(self, service: str = "chaos") -> Any:
        return await asyncpg.connect(migrate.url_of(self._admin_url, migrate.database(service)))


def _loss(data: dict[str, Any]) -> Loss:
    return Loss(data["lock_name"], int(data["fencing_token"]), data["reason"].upper(), data.get("comment", ""))


@asynccontextmanager
async def databases(folder: Path) -> AsyncIterator[Databases]:
    """PostgreSQL, for all runs."""
    servers = await EmbeddedServers.start(folder, fsync=False, servers=frozenset({"postgres"}))
    try:
        made = Databases(servers.postgres_url)
        await made.make()
        yield made
    finally:
        await servers.stop()


class Node:
    """A NATS server; its routes to the others go over links."""

    def __init__(self, folder: Path, name: str, ports: tuple[int, int], routes: Sequence[int]) -> None:
        self.name = name
        self.port, route = ports
        self._child: processes.Child | None = None
        self._folder = folder / name
        self._folder.mkdir()
        targets = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        # No server tells a client or another server of addresses: there is no way round the links.
        (self._folder / "nats.conf").write_text(
            f"""server_name: "{name}"
listen: "127.0.0.1:{self.port}"
jetstream {{ store_dir: "{self._folder}", sync_interval: always, max_file_store: 1GB }}
cluster {{
  name: chaos
  listen: "127.0.0.1:{route}"
  advertise: "127.0.0.1:1"
  no_advertise: true
  routes: [{targets}]
}}
"""
        )

    async def start(self) -> None:
        log = (self._folder / "log").open("a")
        self._child = await processes.spawn(
            [str(nats_binary()), "--config", str(self._folder / "nats.conf")],
            on_line=lambda line: print(line, file=log, flush=True),
            death_signal=signal.SIGKILL,
        )

    def signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.returncode is None:
            os.kill(self._child.pid, number)

    async def stop(self) -> None:
        self.signal(signal.SIGKILL)
        if self._child is not None:
            await self._child.wait()


class Forked:
    """A process that was started from the one that has everything imported."""

    def __init__(self, target: Callable[[Any], None], told: Any) -> None:
        self._process = _CONTEXT.Process(target=target, args=(told,), daemon=True)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            os.kill(self._process.pid or 0, number)

    async def wait(self, timeout_s: float) -> int | None:
        """How it ended; None: it has not."""
        await asyncio.to_thread(self._process.join, timeout_s)
        return self._process.exitcode


@dataclass
class Server:
    """A process of `locks`."""

    told: process.Told
    port: int
    forked: Forked


@dataclass
class Crowd:
    """A process of clients."""

    name: str
    group: int
    forked: Forked


class World:
    """All processes and links of one run. `record` is given each line that a client tells."""

    def __init__(self, folder: Path, kept: Databases, seed: str, without: str, record: Callable[[bytes], None]) -> None:
        self.links: dict[tuple[str, int, int], Link] = {}
        self.nodes: list[Node] = []
        self.servers: list[Server] = []
        self.crowds: list[Crowd] = []
        self._folder = folder
        self._databases = kept
        self._seed = seed
        self._without = without
        self._record = record
        self.tenant_id: UUID = uuid7()
        self._key = OKPKey.generate_key("Ed25519", parameters={"kid": "chaos"}, auto_kid=False).as_dict(private=True)
        self._clocks = [_CONTEXT.Value("d", 0.0) for _ in range(PROCESSES)]
        self._made = 0
        self._readers: list[asyncio.Transport] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._stop)
            async with _OPENING:
                await self._open()
            for number in range(CROWDS):
                await self.start_crowd(number % GROUPS)
            yield

    async def _open(self) -> None:
        ports = iter(embedded.free_ports(3 * NODES + NODES * NODES + PROCESSES * (NODES + 1 + GROUPS)))
        await self._open_nats(ports)
        await self._open_locks(ports)

    async def _open_nats(self, ports: Any) -> None:
        own = [(next(ports), next(ports)) for _ in range(NODES)]
        for here in range(NODES):
            others = [there for there in range(NODES) if there != here]
            routes = [await self._link(("route", here, there), next(ports), own[there][1]) for there in others]
            self.nodes.append(Node(self._folder, f"n{here}", own[here], routes))
        await asyncio.gather(*(node.start() for node in self.nodes))
        self._nats = await nats.connect(
            [f"nats://127.0.0.1:{node.port}" for node in self.nodes],
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,
            ping_interval=1,
            max_outstanding_pings=3,
            error_cb=_expected,
        )

    async def _open_locks(self, ports: Any) -> None:
        for number in range(PROCESSES):
            links = [
                await self._link(("nats", number, node), next(ports), self.nodes[node].port) for node in range(NODES)
            ]
            port = next(ports)
            for group in range(GROUPS):
                await self._link(("clients", group, number), next(ports), port)
            environment = {
                "SWITCHYARD_NATS_URL": ",".join(f"nats://127.0.0.1:{each}" for each in links),
                "SWITCHYARD_DATABASE_URL": self._databases.url("locks"),
                "SWITCHYARD_SERVICE_CREDENTIAL": "svc_locks.chaos",
                "SWITCHYARD_GRPC_PORT": str(port),
                "SWITCHYARD_STREAM_REPLICAS": str(NODES),
            }
            told = self._told(f"locks-{number}", environment, self._clocks[number])
            self.servers.append(Server(told, port, Forked(process.serve, told)))
        await asyncio.gather(*(self._serves(each) for each in self.servers))

    def _told(self, name: str, environment: dict[str, str], clock_s: Any = None) -> process.Told:
        return process.Told(name, self._folder / f"{name}.log", self._key, environment, clock_s, self._without)

    async def _link(self, name: tuple[str, int, int], port: int, target: int) -> int:
        self.links[name] = Link(port, target)
        await self.links[name].start()
        return port

    async def _serves(self, server: Server) -> None:
        """Wait until a process of `locks` takes calls. Raises `SuiteError`."""
        request = health_pb2.HealthCheckRequest()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READY_S):
                    while True:
                        with contextlib.suppress(grpc.aio.AioRpcError):
                            answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=ASK_S)
                            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                                return
                        await asyncio.sleep(0.05)
        raise SuiteError(f"{server.told.name} is not ready:\n{server.told.log.read_text()[-3000:]}")

    async def start_crowd(self, group: int) -> None:
        self._made += 1
        name = f"c{self._made}"
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        told = self._told(name, {})
        addresses = tuple(f"127.0.0.1:{self.links['clients', group, each].port}" for each in range(PROCESSES))
        told_crowd = Told(
            told,
            theirs,
            f"{self._seed} {name}",
            CLIENTS,
            self.tenant_id,
            addresses,
            self._databases.url("chaos"),
            LOCKS,
        )
        self.crowds.append(Crowd(name, group, Forked(crowd.main, told_crowd)))
        theirs.close()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: _Lines(self._record), os.fdopen(ours.fileno(), "rb", closefd=False)
        )
        # The pipe is closed with its transport.
        transport.kept = ours  # type: ignore[attr-defined]
        self._readers.append(transport)

    async def circle(self) -> float | None:
        """How long two owners wait for each other; `None`: until their leases end."""
        granted = frozenset({"locks.read", "locks.write"})
        principal = Principal("user", str(uuid7()), self.tenant_id, permissions=granted)
        told = ((metadata.PASS, process.pass_of(principal, OKPKey.import_key(self._key))),)
        return await circle.broken_after_s([f"127.0.0.1:{each.port}" for each in self.servers], told)

    async def leader(self) -> int | None:
        """The server that leads the locks' stream, or nobody knows of one."""
        try:
            info = await self._nats.jetstream(timeout=ASK_S).stream_info(STREAM)
        except (nats.errors.Error, nats.js.errors.Error):
            return None
        names = [node.name for node in self.nodes]
        return names.index(info.cluster.leader) if info.cluster and info.cluster.leader in names else None

    def restart(self, number: int) -> None:
        server = self.servers[number]
        server.forked = Forked(process.serve, server.told)

    def step_clock(self, number: int, by_s: float) -> None:
        self._clocks[number].value += by_s

    async def settled(self) -> None:
        """Everything serves again."""
        for link in self.links.values():
            link.mend()
        await asyncio.gather(*(self._serves(each) for each in self.servers))
        async with asyncio.timeout(READY_S):
            while await self.leader() is None:
                await asyncio.sleep(0.1)

    async def _stop(self) -> None:
        for each in (*self.crowds, *self.servers):
            each.forked.signal(signal.SIGKILL)
            await each.forked.wait(5)
        for reader in self._readers:
            reader.close()
        if hasattr(self, "_nats"):
            await self._nats.close()
        for node in self.nodes:
            await node.stop()
        for link in self.links.values():
            await link.stop()


async def _expected(_failure: Exception) -> None:
    """Servers are killed here."""


class _Lines(asyncio.Protocol):
    """What comes out of a pipe, line by line; what a killed process did not finish is dropped."""

    def __init__(self, record: Callable[[bytes], None]) -> None:
        self._record = record
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._record(line)
