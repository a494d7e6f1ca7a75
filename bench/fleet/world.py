"""Where the registry is measured: its servers, two processes of it, watchers at both, and what starts instances."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc.aio
from switchyard.registry.v1 import registry_pb2 as pb
from switchyard.registry.v1 import registry_pb2_grpc

from bench import cpu
from bench.fleet import samples
from bench.fleet.auth import Auth
from bench.fleet.watcher import OPTIONS, PASSING, Watcher
from bench.load import WrongAnswer
from chassis import embedded, processes, testing
from chassis.rpc import metadata
from cli.run_dir import ROOT

NODES = 3
REGISTRIES = 2
# Watchers at each registry process.
WATCHERS = 2
READY_DEADLINE_S = 60.0
STOP_GRACE_S = 3.0
UNLIMITED = "100000/s burst 100000"
LINE_BYTES_MAX = 1 << 20


@dataclass
class Sample:
    """A living process of a service."""

    pid: int
    instance: pb.Instance

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; the moment before."""
        moment = time.monotonic()
        os.kill(self.pid, number)
        return moment


class Helper:
    """A process of the benchmark's own, spoken to line by line."""

    @classmethod
    async def start(cls, *argv: str, env: dict[str, str]) -> Self:
        self = cls()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            env=env,
            cwd=ROOT,
        )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    async def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def hear(self, timeout_s: float = READY_DEADLINE_S) -> str:
        """The next line. Raises `TimeoutError`, and `WrongAnswer` when there is none."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout_s)
        if not line:
            raise WrongAnswer("a process of the benchmark has ended")
        return line.decode().strip()

    def signal(self, number: signal.Signals) -> float:
        """Send it a signal; the moment before."""
        moment = time.monotonic()
        self._process.send_signal(number)
        return moment

    async def stop(self) -> None:
        """End its input, and it, should that not be enough."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_GRACE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class World:
    """The running world."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.auth = Auth()
        self.watchers: list[Watcher] = []
        self.pids: dict[str, int] = {}
        self._stack = stack
        self._folder = folder
        # One process at a time is asked for.
        self._asking = asyncio.Lock()

    @classmethod
    async def start(cls, stack: AsyncExitStack, folder: Path) -> Self:
        """Start it all. Raises `WrongAnswer` or `TimeoutError`."""
        self = cls(stack, folder)
        self.auth_address = await self.auth.start()
        stack.push_async_callback(self.auth.stop)
        self._servers = await embedded.EmbeddedServers.start(folder, fsync=True, nodes=NODES)
        stack.push_async_callback(self._servers.stop)
        self.pids |= self._servers.pids
        self._databases = testing.Databases(self._servers.postgres_url)
        ports = embedded.free_ports(REGISTRIES)
        self.registries = [f"127.0.0.1:{port}" for port in ports]
        for number, port in enumerate(ports):
            await self._spawn(f"registry-{number + 1}", "services.registry", await self._env("registry", port=port))
        for address in self.registries * WATCHERS:
            self.watch(Watcher(address))
        self.samples = await Helper.start(
            "bench.fleet.samples", str(folder / "samples.log"), env=await self._env(samples.SERVICE)
        )
        stack.push_async_callback(self.samples.stop)
        await self.all_told(
            lambda watcher: sum(each.state in PASSING for each in watcher.instances.values()) >= REGISTRIES
        )
        return self

    def watch(self, watcher: Watcher) -> None:
        """Have a watcher follow."""
        task = asyncio.create_task(watcher.run())
        self._stack.callback(task.cancel)
        self.watchers.append(watcher)

    async def gateway(self) -> int:
        """Start a gateway; its port."""
        port = embedded.free_ports(1)[0]
        limits = ("TENANT", "READ", "WRITE", "LOGIN", "PUBLIC", "EXCHANGE")
        told = {f"SWITCHYARD_LIMIT_{name}": UNLIMITED for name in limits} | {
            "SWITCHYARD_HTTP_PORT": str(port),
            "SWITCHYARD_VALKEY_URL": self._servers.valkey_url,
        }
        await self._spawn("gateway", "gateway", await self._env("gateway") | told)
        return port

    async def sample(self) -> Sample:
        """A new process, once every watcher has been told that it takes calls."""
        async with self._asking:
            await self.samples.say("{}")
            pid = int(await self.samples.hear())

        def takes_calls(watcher: Watcher) -> bool:
            found = watcher.of_process(pid)
            return found is not None and found.state in PASSING

        await self.all_told(takes_calls)
        instance = self.watchers[0].of_process(pid)
        assert instance is not None
        return Sample(pid, instance)

    async def crowd(self, number: int, count: int, services: list[str], connections: int) -> Helper:
        """A process with many instances, which has begun to register them."""
        helper = await Helper.start("bench.fleet.crowd", env=dict(os.environ) | {"SWITCHYARD_LOG_LEVEL": "WARNING"})
        self._stack.push_async_callback(helper.stop)
        told = {"registry": self.registry_target, "auth": self.auth_address, "services": " ".join(services)}
        await helper.say(json.dumps(told | {"number": number, "count": count, "connections": connections}))
        return helper

    async def all_told(self, holds: Callable[[Watcher], bool], timeout_s: float = READY_DEADLINE_S) -> None:
        """Return when it holds for all watchers. Raises `TimeoutError`."""
        await asyncio.gather(*(watcher.until(holds, timeout_s) for watcher in self.watchers))

    @property
    def registry_target(self) -> str:
        """The registry, as gRPC names several addresses of one thing."""
        return f"ipv4:{','.join(self.registries)}"

    def registry(self, number: int = 0) -> Any:
        """A stub for one of the registry's processes."""
        return registry_pb2_grpc.RegistryServiceStub(
            grpc.aio.insecure_channel(self.registries[number], options=OPTIONS)
        )

    def told_by(self, credential: str, tenant_id: str = "") -> tuple[tuple[str, str], ...]:
        """The metadata of somebody's call."""
        return ((metadata.PASS, self.auth.issue(credential, tenant_id)),)

    def usage(self) -> dict[str, dict[int, float]]:
        """Seconds of CPU used so far, for `cpu.spent`."""
        return cpu.Watch(self.pids).snapshot()

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each process."""
        return {name: _resident_mb(pid) for name, pid in self.pids.items()}

    async def _env(self, service: str, *, port: int = 0) -> dict[str, str]:
        told = {
            "SWITCHYARD_NATS_URL": self._servers.nats_url,
            "SWITCHYARD_STREAM_REPLICAS": str(NODES),
            "SWITCHYARD_REGISTRY_ADDRESS": self.registry_target,
            "SWITCHYARD_AUTH_ADDRESS": self.auth_address,
            "SWITCHYARD_SERVICE_CREDENTIAL": service,
            "SWITCHYARD_GRPC_PORT": str(port),
            "SWITCHYARD_OPS_PORT": "0",
            "SWITCHYARD_LOG_FORMAT": "json",
            "PYTHONUNBUFFERED": "1",
        }
        if service != "gateway":
            told["SWITCHYARD_DATABASE_URL"] = await self._databases.url(service)
        return {name: value for name, value in os.environ.items() if not name.startswith("SWITCHYARD_")} | told

    async def _spawn(self, name: str, module: str, env: dict[str, str]) -> None:
        log = (self._folder / f"{name}.log").open("a", buffering=1)
        self._stack.callback(log.close)
        child = await processes.spawn(
            [sys.executable, "-m", module],
            on_line=lambda line: print(line, file=log),
            death_signal=signal.SIGTERM,
            env=env,
            cwd=ROOT,
        )
        self.pids[name] = child.pid
        self._stack.push_async_callback(child.stop)


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024
