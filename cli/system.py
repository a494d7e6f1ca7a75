"""The whole suite on one machine: servers, databases, processes; up in order and down in order."""

import asyncio
import os
import signal
from typing import IO

from chassis import embedded, folders, migrate, processes
from cli import api, environment
from cli.environment import EXTERNAL, GATEWAY, Backends, Layout
from cli.log_stream import LogStream
from cli.run_dir import RunDir, database_password
from cli.supervisor import Supervisor

# Eight Python processes that start at once on two cores take about ten seconds; a slow laptop more.
READY_DEADLINE_S = 120.0
READY_POLL_S = 0.1


class StartError(Exception):
    """The suite could not be started; the message says why and what to do."""


async def migrate_service(run_dir: RunDir, service: str, admin_url: str) -> None:
    """Create a service's database where it is missing, and bring its tables to the newest version."""
    await migrate.provision(admin_url, service, database_password(run_dir, service))
    await asyncio.to_thread(migrate.upgrade, admin_url, service)


class System:
    """A running suite."""

    def __init__(self, run_dir: RunDir, nats_nodes: int) -> None:
        """Prepare to run from the directory; `start` does it. `nats_nodes`: how many NATS servers, unless external."""
        self.run_dir = run_dir
        self._nats_nodes = nats_nodes
        self.layout = Layout.choose()
        self._log = LogStream(run_dir.logs_dir)
        self._lock: IO[str] | None = None
        self._servers: embedded.EmbeddedServers | None = None
        self._backends = Backends("", "", "")
        self._supervisor = Supervisor(self._log.take, self._write_state)

    async def start(self) -> None:
        """Start everything and return when every service answers through the gateway.

        Raises StartError, or chassis.embedded.EmbeddedServersError. Call `stop` in either case.
        """
        try:
            self._lock = folders.take(self.run_dir.path, "up.lock")
        except folders.TakenError as error:
            raise StartError(str(error)) from None
        await self._end_leftovers()
        if not embedded.port_is_free(self.layout.http_port):
            message = f"port {self.layout.http_port} is taken: end what listens there, or set SWITCHYARD_HTTP_PORT"
            raise StartError(message)
        await self._start_servers()
        self._say("migrating the databases")
        for service in self.layout.names:
            if service != GATEWAY:
                await migrate_service(self.run_dir, service, self._backends.postgres_admin_url)
        self._say("starting " + ", ".join(self.layout.names))
        self._supervisor.start(
            environment.spec(name, self.layout, self._backends, self.run_dir) for name in self.layout.names
        )
        await self._wait_until_ready()

    async def stop(self) -> None:
        """Stop everything: the gateway first, so that nothing new comes in, and the servers last."""
        self._say("stopping")
        others = [name for name in self.layout.names if name not in (GATEWAY, *environment.FIXED)]
        await self._supervisor.stop([[GATEWAY], others, environment.FIXED])
        if self._servers is not None:
            await self._servers.stop()
        if self._lock is not None:
            # Only of our own run: without the lock, the files are another's.
            self.run_dir.forget_run()
            self._lock.close()
        self._log.close()

    async def _end_leftovers(self) -> None:
        """End the processes of a run that was killed, where the kernel has not done it (other than Linux)."""
        left = self.run_dir.state().get("processes", {}).values()
        await asyncio.gather(
            *(
                processes.end(each["pid"], each["mark"], signal.SIGTERM)
                for each in left
                if each["kind"] == "process" and each["pid"]
            )
        )
        self.run_dir.forget_run()

    async def _start_servers(self) -> None:
        embedded_names = frozenset(name for name, variable in EXTERNAL.items() if not os.environ.get(variable))
        urls = {name: os.environ.get(variable, "") for name, variable in EXTERNAL.items()}
        nats: dict[str, str] = {}
        if embedded_names:
            self._say("starting " + ", ".join(sorted(embedded_names)))
            self._servers = await embedded.EmbeddedServers.start(
                self.run_dir.servers_dir,
                fsync=True,
                servers=embedded_names,
                nodes=self._nats_nodes,
                keep_alive=self._write_state,
                on_line=self._log.take,
            )
            own = {
                "postgres": lambda servers: servers.postgres_url,
                "nats": lambda servers: servers.nats_url,
                "valkey": lambda servers: servers.valkey_url,
            }
            urls |= {name: own[name](self._servers) for name in embedded_names}
        if "nats" in embedded_names and self._servers is not None:
            nats = {
                "SWITCHYARD_NATS_MONITOR_URLS": self._servers.nats_monitor_urls,
                "SWITCHYARD_STREAM_REPLICAS": str(self._nats_nodes),
            }
        self._backends = Backends(urls["postgres"], urls["nats"], urls["valkey"], nats)
        self._write_state()

    async def _wait_until_ready(self) -> None:
        """Wait until every process says that it is ready and the gateway knows the routes of every service."""
        waiting = await self._not_ready()
        try:
            async with asyncio.timeout(READY_DEADLINE_S):
                while waiting:
                    await asyncio.sleep(READY_POLL_S)
                    waiting = await self._not_ready()
        except TimeoutError:
            logs = self.run_dir.logs_dir
            message = f"not ready after {READY_DEADLINE_S:.0f} s: {', '.join(waiting)}; see the logs in {logs}"
            raise StartError(message) from None

    async def _not_ready(self) -> list[str]:
        ports = self.layout.ops_ports
        answers = await asyncio.gather(
            *(asyncio.to_thread(api.answers, f"http://127.0.0.1:{port}/readyz") for port in ports.values())
        )
        waiting = [name for name, ready in zip(ports, answers, strict=True) if not ready]
        if waiting:
            return waiting
        documented = await asyncio.to_thread(api.documented_services, self.layout.url)
        return [f"routes of {name}" for name in self.layout.names if name != GATEWAY and name not in documented]

    def _write_state(self) -> None:
        servers = self._servers
        state: dict[str, dict[str, object]] = {}
        if servers is not None:
            state = {
                name: {"kind": "server", "pid": pid, "mark": processes.started_at(pid), "port": servers.ports[name]}
                for name, pid in servers.pids.items()
            }
        state |= self._supervisor.state()
        self.run_dir.write_state(
            {
                "supervisor": {"pid": os.getpid(), "mark": processes.started_at(os.getpid())},
                "url": self.layout.url,
                "nats_url": self._backends.nats_url,
                "nats": self._backends.nats,
                "registry_address": f"127.0.0.1:{self.layout.grpc_ports['registry']}",
                "auth_address": f"127.0.0.1:{self.layout.grpc_ports['auth']}",
                "processes": state,
            }
        )

    def _say(self, line: str) -> None:
        self._log.take("switchyard", line)
