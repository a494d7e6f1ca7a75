"""Switchyard itself, started as anybody starts it: `switchyard up` in a temporary run directory."""

import asyncio
import json
import os
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Self

import grpc.aio
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc

from bench import cpu, world
from chassis import embedded, processes
from chassis.embedded_programs import read_or_make_password
from cli import environment
from cli.api import Api
from cli.run_dir import ROOT, RunDir

READY_DEADLINE_S = 180.0
# Sign-ins are limited, and their cost is not what is measured.
LOGIN_EVERY_S = 600.0
TAIL_LINES = 30
# Nobody is refused: what a limit costs is measured, not what it forbids.
UNLIMITED = "100000/s burst 100000"
# The monolith's database, whose backends are none of Switchyard's.
PEER_DATABASE = "bench_monolith"


class SuiteError(Exception):
    """Switchyard did not come up."""


class Suite:
    """The running suite."""

    def __init__(self, run_dir: RunDir, port: int) -> None:
        self.port = port
        self._run_dir = run_dir
        self._signed_in_at = float("-inf")
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    @classmethod
    async def start(cls, folder: Path) -> Self:
        """Start it all and wait until the demo companies are there. Raises `SuiteError`."""
        self = cls(RunDir(folder), embedded.free_ports(1)[0])
        told = {name: value for name, value in os.environ.items() if name not in environment.EXTERNAL.values()}
        told |= {
            "SWITCHYARD_RUN_DIR": str(folder),
            "SWITCHYARD_HTTP_PORT": str(self.port),
            "SWITCHYARD_LIMIT_TENANT": UNLIMITED,
            "SWITCHYARD_LIMIT_READ": UNLIMITED,
            "SWITCHYARD_LIMIT_WRITE": UNLIMITED,
            "SWITCHYARD_LIMIT_LOGIN": UNLIMITED,
            "SWITCHYARD_LIMIT_PUBLIC": UNLIMITED,
            "SWITCHYARD_LIMIT_EXCHANGE": UNLIMITED,
        }
        self._child = await processes.spawn(
            [sys.executable, "-m", "cli.main", "up"],
            on_line=self._tail.append,
            death_signal=signal.SIGTERM,
            env=told,
            cwd=ROOT,
        )
        try:
            async with asyncio.timeout(READY_DEADLINE_S):
                while not self._run_dir.demo():
                    if self._child.returncode is not None:
                        raise SuiteError("\n  ".join(["switchyard up ended:", *self._tail]))
                    await asyncio.sleep(0.2)
        except TimeoutError:
            await self.stop()
            raise SuiteError("\n  ".join(["switchyard up is not ready:", *self._tail])) from None
        self._demo = self._run_dir.demo()
        return self

    async def stop(self) -> None:
        """Stop it all, as Ctrl-C does."""
        await self._child.stop(signal.SIGINT, grace_s=60)

    def login(self) -> Api:
        """The demo company's manager, signed in; again before the token, good for 15 minutes, ends."""
        if time.monotonic() - self._signed_in_at > LOGIN_EVERY_S:
            user = next(each for each in self._demo["users"] if each["role"] == "manager")
            api = Api(self._demo["url"]).login(user["email"], user["password"])
            self._api, self._signed_in_at = api.in_tenant(user["tenant_id"]), time.monotonic()
        return self._api

    @property
    def url(self) -> str:
        """The gateway's."""
        url: str = self._demo["url"]
        return url

    def people(self) -> list[dict[str, str]]:
        """The demo companies' users, with their passwords."""
        people: list[dict[str, str]] = self._demo["users"]
        return people

    def kiosk_token(self) -> str:
        """What the demo's kiosk holds."""
        token: str = self._demo["catalog_tokens"][0]["token"]
        return token

    def fill(self) -> world.World:
        """Enter the benchmark's items."""
        api = self.login()
        sites = [site["id"] for site in self._demo["sites"] if site["tenant_id"] == api.tenant_id]
        return world.fill(api, sites)

    async def issue_pass(self, api: Api) -> str:
        """What the gateway gets for an access token: a pass for 60 seconds."""
        async with grpc.aio.insecure_channel(self.address_of(api, "auth")) as channel:
            request = auth_pb2.ExchangeTokenRequest(credential=api.token, tenant_id=api.tenant_id)
            issued = await auth_pb2_grpc.AuthServiceStub(channel).ExchangeToken(request, timeout=5)
        token: str = issued.token
        return token

    def address_of(self, api: Api, service: str) -> str:
        """Where a service listens, by the registry."""
        address: str = api.call("GET", f"/api/v1/services/{service}/instances")[0]["address"]
        return address

    def watch(self, *names: str) -> cpu.Watch:
        """These processes, or all of them."""
        found = self._processes()
        pids = {name: found[name]["pid"] for name in (names or found)}
        return cpu.Watch(pids, frozenset({PEER_DATABASE}))

    def peer_watch(self, name: str, pid: int) -> cpu.Watch:
        """A process that shares PostgreSQL and Valkey with the suite."""
        found = self._processes()
        pids = {name: pid, "postgres": found["postgres"]["pid"], "valkey": found["valkey"]["pid"]}
        return cpu.Watch(pids, frozenset(f"switchyard_{each}" for each in found))

    @property
    def admin_url(self) -> str:
        """PostgreSQL's administrator."""
        password = read_or_make_password(self._run_dir.servers_dir)
        return f"postgresql://postgres:{password}@127.0.0.1:{self._processes()['postgres']['port']}/postgres"

    @property
    def valkey_url(self) -> str:
        """Valkey, in a database of the peer's own."""
        return f"redis://127.0.0.1:{self._processes()['valkey']['port']}/1"

    def _processes(self) -> dict[str, Any]:
        running: dict[str, Any] = json.loads(self._run_dir.state_file.read_text())["processes"]
        return running
