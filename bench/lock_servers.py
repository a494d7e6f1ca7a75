"""The servers whose locks are measured, each with every write on the disk before it is acknowledged.

Peers come from Debian's packages (`etcd-server`; `zookeeper` with `default-jre-headless`) and from Valkey's wheel. One
that is not there is left out, and said to be missing.
"""

import asyncio
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from joserfc.jwk import KeySet, OKPKey
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc
from uuid_utils.compat import uuid7

from bench import cpu
from bench.suite import SuiteError
from chassis import clock, embedded, embedded_programs, identity, migrate, processes
from chassis.embedded import EmbeddedServers

ROOT = Path(__file__).resolve().parents[1]
READY_DEADLINE_S = 60.0
PASSWORD = "bench"
TAIL_LINES = 30
ZOOKEEPER_JAR = Path("/usr/share/java/zookeeper.jar")


class Missing(Exception):
    """A peer is not on this machine."""


@dataclass(frozen=True)
class Servers:
    """What serves a target's locks: `recipe` makes its clients, `durability` says what is fsynced by which setting."""

    watch: cpu.Watch
    durability: str
    recipe: dict[str, Any]


class Started:
    """Processes of the benchmark's own."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def start(self, name: str, argv: Sequence[str], *, told: dict[str, str], folder: Path | None = None) -> int:
        """Start a program; its process id. It ends with the stack."""
        tail = self.tail = deque[str](maxlen=TAIL_LINES)
        child = await processes.spawn(
            argv, on_line=tail.append, death_signal=signal.SIGKILL, env=os.environ | told, cwd=folder or ROOT
        )
        self._stack.push_async_callback(child.stop, signal.SIGTERM)
        self.name, self.child = name, child
        return child.pid

    async def until(self, serves: Any) -> None:
        """Wait until the program started last serves. Raises `SuiteError` with its last words."""
        try:
            async with asyncio.timeout(READY_DEADLINE_S):
                while not await serves():
                    if self.child.returncode is not None:
                        break
                    await asyncio.sleep(0.05)
                else:
                    return
        except TimeoutError:
            pass
        raise SuiteError("\n  ".join([f"{self.name} does not serve:", *self.tail]))


# Switchyard.


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """What `auth` answers to a `locks` process, without the rest of the suite."""

    def __init__(self) -> None:
        self.key = OKPKey.generate_key("Ed25519", parameters={"kid": "bench"}, auto_kid=False)

    async def GetJwks(self, _request: auth_pb2.GetJwksRequest, _context: object) -> auth_pb2.Jwks:
        told = KeySet([self.key]).as_dict(private=False)["keys"]
        return auth_pb2.Jwks(
            keys=[auth_pb2.Jwk(kty=key["kty"], kid=key["kid"], crv=key["crv"], x=key["x"]) for key in told]
        )

    async def ExchangeToken(self, request: auth_pb2.ExchangeTokenRequest, _context: object) -> auth_pb2.Pass:
        tenant_id = UUID(request.tenant_id) if request.tenant_id else None
        token = identity.sign_pass(identity.service_principal("locks", tenant_id), self.key)
        ends_at = Timestamp(seconds=int(clock.now().timestamp()) + identity.PASS_LIFETIME_S)
        return auth_pb2.Pass(token=token, expires_at=ends_at)


@dataclass(frozen=True)
class Layout:
    """How many processes of each kind."""

    locks: int = 1
    nats: int = 1


class Switchyard:
    """`locks` processes with a NATS and a PostgreSQL of their own; auth's part is played, the registry is away."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self._auth = Auth()

    async def open(self) -> None:
        """Play auth."""
        server = grpc.aio.server()
        auth_pb2_grpc.add_AuthServiceServicer_to_server(self._auth, server)  # type: ignore[no-untyped-call]
        self._auth_address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        self._stack.push_async_callback(server.stop, None)

    async def start(self, layout: Layout, recipe: str = "switchyard") -> Servers:
        """Start a whole of it, in a folder of its own."""
        folder = self._folder / f"switchyard-{layout.locks}-{layout.nats}"
        folder.mkdir()
        backends = await EmbeddedServers.start(
            folder, fsync=True, servers=frozenset({"postgres", "nats"}), nodes=layout.nats
        )
        self._stack.push_async_callback(backends.stop)
        await migrate.provision(backends.postgres_url, "locks", PASSWORD)
        await asyncio.to_thread(migrate.upgrade, backends.postgres_url, "locks")
        pids, addresses = dict(backends.pids), []
        for number, (port, ops_port) in enumerate(_pairs(embedded.free_ports(2 * layout.locks)), 1):
            name = f"locks-{number}" if layout.locks > 1 else "locks"
            pids[name] = await self._locks(name, port, ops_port, backends, layout)
            addresses.append(f"127.0.0.1:{port}")
        return Servers(
            cpu.Watch(pids),
            f"`sync_interval: always`{f', {layout.nats} replicas' if layout.nats > 1 else ''}",
            {
                "recipe": recipe,
                "addresses": addresses,
                "key": self._auth.key.as_dict(private=True),
                "tenant_id": str(uuid7()),
            },
        )

    async def _locks(self, name: str, port: int, ops_port: int, backends: EmbeddedServers, layout: Layout) -> int:
        admin = urlsplit(backends.postgres_url)
        role = migrate.database("locks")
        database = admin._replace(netloc=f"{role}:{PASSWORD}@{admin.hostname}:{admin.port}", path=f"/{role}")
        told = {
            "SWITCHYARD_DATABASE_URL": urlunsplit(database),
            "SWITCHYARD_NATS_URL": backends.nats_url,
            "SWITCHYARD_STREAM_REPLICAS": str(layout.nats),
            "SWITCHYARD_AUTH_ADDRESS": self._auth_address,
            "SWITCHYARD_REGISTRY_ADDRESS": f"127.0.0.1:{embedded.free_ports(1)[0]}",
            "SWITCHYARD_SERVICE_CREDENTIAL": "svc_locks.bench",
            "SWITCHYARD_GRPC_PORT": str(port),
            "SWITCHYARD_OPS_PORT": str(ops_port),
            "SWITCHYARD_LOG_FORMAT": "console",
            "PYTHONUNBUFFERED": "1",
        }
        started = Started(self._stack)
        pid = await started.start(name, [sys.executable, "-m", "services.locks"], told=told)
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health = health_pb2_grpc.HealthStub(channel)

            async def serves() -> bool:
                try:
                    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                except grpc.aio.AioRpcError:
                    return False
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

            await started.until(serves)
        return pid


def _pairs(ports: list[int]) -> list[tuple[int, int]]:
    return list(zip(ports[::2], ports[1::2], strict=True))


# The peers.


async def etcd(stack: AsyncExitStack, folder: Path, *, members: int = 1) -> Servers:
    """One member, or a cluster. A write is fsynced before it is acknowledged, unless there is `--unsafe-no-fsync`."""
    program = shutil.which("etcd")
    if program is None:
        raise Missing("there is no program etcd (Debian's package etcd-server)")
    ports = _pairs(embedded.free_ports(2 * members))
    cluster = ",".join(f"etcd-{number}=http://127.0.0.1:{port}" for number, (_, port) in enumerate(ports, 1))
    started, pids = [], {}
    for number, (port, peer_port) in enumerate(ports, 1):
        name = f"etcd-{number}"
        told = {
            "name": name,
            "data-dir": folder / f"etcd-{members}" / name,
            "listen-client-urls": f"http://127.0.0.1:{port}",
            "advertise-client-urls": f"http://127.0.0.1:{port}",
            "listen-peer-urls": f"http://127.0.0.1:{peer_port}",
            "initial-advertise-peer-urls": f"http://127.0.0.1:{peer_port}",
            "initial-cluster": cluster,
            "initial-cluster-token": f"bench-{members}",
            "logger": "zap",
            "log-level": "error",
        }
        started.append(Started(stack))
        argv = [program, *(f"--{option}={value}" for option, value in told.items())]
        pids[name if members > 1 else "etcd"] = await started[-1].start(name, argv, told={}, folder=folder)
    for each, (port, _) in zip(started, ports, strict=True):
        await each.until(lambda port=port: _listens(port))
    # The first of them, be it the leader or not, as a client's list of members would have it.
    address = f"127.0.0.1:{ports[0][0]}"
    return Servers(cpu.Watch(pids), "WAL fsynced (its default)", {"recipe": "etcd", "address": address})


async def zookeeper(stack: AsyncExitStack, folder: Path) -> Servers:
    """One server, with its default `forceSync=yes`."""
    java = shutil.which("java")
    if java is None or not ZOOKEEPER_JAR.exists():  # noqa: ASYNC240 - before anything is measured
        raise Missing("there is no java or no ZooKeeper (Debian's packages default-jre-headless and zookeeper)")
    port = embedded.free_ports(1)[0]
    home = folder / "zookeeper"
    home.mkdir()
    settings = {"dataDir": home, "clientPort": port, "clientPortAddress": "127.0.0.1", "tickTime": 2000}
    settings |= {"forceSync": "yes", "admin.enableServer": "false", "maxClientCnxns": 0}
    (home / "zoo.cfg").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    main = "org.apache.zookeeper.server.ZooKeeperServerMain"
    argv = [java, "-Xmx512m", "-cp", str(ZOOKEEPER_JAR), main, str(home / "zoo.cfg")]
    pid = await _serving(Started(stack), "zookeeper", argv, port, folder)
    return Servers(
        cpu.Watch({"zookeeper": pid}), "`forceSync=yes`", {"recipe": "zookeeper", "address": f"127.0.0.1:{port}"}
    )


async def valkey(stack: AsyncExitStack, folder: Path) -> Servers:
    """One server that appends every write to its file and fsyncs it."""
    port = embedded.free_ports(1)[0]
    home = folder / "valkey"
    home.mkdir()
    options = {"bind": "127.0.0.1", "port": port, "dir": home, "save": "", "appendonly": "yes", "appendfsync": "always"}
    argv = [str(embedded_programs.valkey_binary())]
    argv += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    pid = await _serving(Started(stack), "valkey", argv, port, folder)
    return Servers(
        cpu.Watch({"valkey": pid}),
        "`appendonly yes`, `appendfsync always`",
        {"recipe": "valkey", "url": f"redis://127.0.0.1:{port}/0"},
    )


async def _serving(started: Started, name: str, argv: list[str], port: int, folder: Path) -> int:
    pid = await started.start(name, argv, told={}, folder=folder)
    await started.until(lambda: _listens(port))
    return pid


async def _listens(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
