"""The whole suite, as `make run` starts it, in a folder of its own and on free ports; and people to use it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection, connect

from chassis import embedded, embedded_programs
from cli import environment
from cli.environment import GATEWAY, Backends, Layout
from cli.run_dir import RunDir

ROOT = Path(__file__).resolve().parents[2]
START_DEADLINE_S = 180
# The stories send more in a second than any person; the limits are tried in tests of their own.
LIMITS = {
    f"SWITCHYARD_LIMIT_{name}": "100000/s burst 100000"
    for name in ("TENANT", "READ", "WRITE", "LOGIN", "PUBLIC", "EXCHANGE", "ADMIN")
}
# Who fails to sign in again and again says that they are elsewhere, lest everybody here has to wait.
LIMITS["SWITCHYARD_TRUSTED_PROXIES"] = "127.0.0.1"
ELSEWHERE = {"X-Forwarded-For": "198.51.100.7"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All stories share one system, so they run in one worker."""
    for item in items:
        if "tests/e2e" in str(item.path):
            item.add_marker(pytest.mark.xdist_group("system"))
            item.add_marker(pytest.mark.timeout(300))


@dataclass
class System:
    """A running suite."""

    run_dir: Path
    demo: dict[str, Any]
    _logins: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return str(self.demo["url"])

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/ws"

    def tenant(self, index: int = 0) -> str:
        return str(self.demo["tenants"][index]["id"])

    def site(self, index: int = 0) -> str:
        return str(self.demo["sites"][index]["id"])

    def kiosk_token(self) -> str:
        return str(self.demo["catalog_tokens"][0]["token"])

    def pid(self, name: str) -> int:
        """The process id of one process or server, as it is now."""
        state = json.loads((self.run_dir / "state.json").read_text())
        pid = state["processes"][name]["pid"]
        return int(pid or 0)

    def names(self) -> list[str]:
        """All processes and servers."""
        return sorted(json.loads((self.run_dir / "state.json").read_text())["processes"])

    def kill(self, name: str) -> int:
        """`kill -9` one process by its id."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def secret(self, name: str) -> str:
        return str(json.loads((self.run_dir / "secrets.json").read_text())[name])

    def database_url(self, service: str) -> str:
        """The URL with which the administrator connects to a service's database."""
        password = embedded_programs.read_or_make_password(self.run_dir / "servers")
        port = json.loads((self.run_dir / "state.json").read_text())["processes"]["postgres"]["port"]
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/switchyard_{service}"

    @asynccontextmanager
    async def another(self, service: str, **settings: str) -> AsyncIterator["subprocess.Popen[bytes]"]:
        """A second process of a service beside the one that is kept running."""
        run_dir = RunDir(self.run_dir)
        state = run_dir.state()
        fixed = {name: int(state[f"{name}_address"].rpartition(":")[2]) for name in environment.FIXED}
        layout = Layout([service], 0, {service: embedded.free_ports(1)[0]}, fixed)
        valkey = f"redis://127.0.0.1:{state['processes']['valkey']['port']}/0"
        spec = environment.spec(
            service, layout, Backends(self.database_url(service), state["nats_url"], valkey), run_dir
        )
        told = {**spec.env, **{f"SWITCHYARD_{name.upper()}": value for name, value in settings.items()}}
        with (self.run_dir / f"{service}-{layout.ops_ports[service]}.log").open("wb") as log:
            process = subprocess.Popen(spec.argv, cwd=spec.cwd, env=told, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)

    @asynccontextmanager
    async def database(self, service: str) -> AsyncIterator[asyncpg.Connection]:
        """A service's database as its administrator, to look at what is kept or to let time go by."""
        connection = await asyncpg.connect(self.database_url(service))
        try:
            yield connection
        finally:
            await connection.close()

    async def login(self, role: str, tenant: int = 0) -> str:
        """The access token of a demo user (`operator`: the platform's)."""
        key = f"{role}/{tenant}"
        if key not in self._logins:
            async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
                self._logins[key] = (await self.sign_in(client, role, tenant))["access_token"]
        return self._logins[key]

    async def sign_in(self, client: httpx.AsyncClient, role: str, tenant: int = 0) -> dict[str, Any]:
        """A new session of a demo user."""
        if role == "operator":
            body = {"email": "operator@switchyard.example", "password": self.secret("operator_password")}
        else:
            tenant_id = self.tenant(tenant)
            user = next(u for u in self.demo["users"] if u["role"] == role and u["tenant_id"] == tenant_id)
            body = {"email": user["email"], "password": user["password"]}
        answer = await client.post("/api/v1/auth/login", json=body)
        if answer.status_code == 429:
            # What auth itself grants an account: a few sign-ins at once.
            await asyncio.sleep(float(answer.headers["retry-after"]))
            return await self.sign_in(client, role, tenant)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    def client(self, token: str, tenant: str | None = None) -> httpx.AsyncClient:
        """A client that shows a token."""
        headers = {"Authorization": f"Bearer {token}"} | ({"X-Tenant-ID": tenant} if tenant else {})
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, limits=limits)

    async def acting(self, role: str, tenant: int = 0) -> httpx.AsyncClient:
        """A client of a demo user in their tenant."""
        own = None if role == "operator" else self.tenant(tenant)
        return self.client(await self.login(role, tenant), own)

    @asynccontextmanager
    async def second_gateway(self, **settings: str) -> AsyncIterator["System"]:
        """The same suite seen through another gateway process, with `settings` of its own (`nats_url="..."`)."""
        state = json.loads((self.run_dir / "state.json").read_text())
        port, ops_port = embedded.free_ports(2)
        told = {
            "nats_url": state["nats_url"],
            "valkey_url": f"redis://127.0.0.1:{state['processes']['valkey']['port']}/0",
            "registry_address": state["registry_address"],
            "auth_address": state["auth_address"],
            "http_port": str(port),
            "ops_port": str(ops_port),
        } | settings
        environment = {**os.environ, **LIMITS} | {f"SWITCHYARD_{name.upper()}": value for name, value in told.items()}
        with (self.run_dir / f"gateway-{port}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", GATEWAY], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            async with httpx.AsyncClient() as client:
                await eventually(lambda: _is_ready(client, f"http://127.0.0.1:{ops_port}/readyz"), 60)
            yield replace(self, demo={**self.demo, "url": f"http://127.0.0.1:{port}"})
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def kiosk(self) -> httpx.AsyncClient:
        """A client of the demo kiosk."""
        return self.client(self.kiosk_token())


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The suite, up and filled with the demo companies."""
    with up(tmp_path_factory.mktemp("run")) as running:
        yield running


@contextmanager
def up(run_dir: Path, *arguments: str, **environment: str) -> Iterator[System]:
    """`switchyard up` until it is filled; a clean end of it afterwards."""
    port = embedded.free_ports(1)[0]
    told = {**LIMITS, "SWITCHYARD_RUN_DIR": str(run_dir), "SWITCHYARD_HTTP_PORT": str(port), **environment}
    with (run_dir / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "up", *arguments],
            cwd=ROOT,
            env={**os.environ, **told},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield System(run_dir, _wait_for_demo(run_dir, process))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _wait_for_demo(run_dir: Path, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    deadline = time.monotonic() + START_DEADLINE_S
    while not (run_dir / "demo.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = (run_dir / "up.log").read_text(errors="replace")
            pytest.exit(f"the suite did not start:\n{log[-4000:]}", 1)
        time.sleep(0.1)
    demo: dict[str, Any] = json.loads((run_dir / "demo.json").read_text())
    return demo


@pytest_asyncio.fixture(loop_scope="session")
async def admin(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """The first company's administrator."""
    async with await system.acting("admin") as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def manager(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """The first company's manager."""
    async with await system.acting("manager") as client:
        yield client


class Socket:
    """A websocket of the gateway; what comes that is not waited for is kept."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.seen: list[dict[str, Any]] = []

    @classmethod
    async def open(cls, system: System, token: str, tenant: str | None = None) -> "Socket":
        headers = {"Authorization": f"Bearer {token}"} | ({"X-Tenant-ID": tenant} if tenant else {})
        return cls(await connect(system.ws_url, additional_headers=headers, max_size=None))

    async def subscribe(self, channel: str, **since: Any) -> dict[str, Any]:
        await self.connection.send(json.dumps({"type": "subscribe", "channel": channel, **since}))
        return await self.wait_for(lambda frame: frame["type"] in {"subscribed", "error"})

    async def wait_for(self, wanted: Any, timeout_s: float = 15) -> dict[str, Any]:
        """The first frame, already seen or to come, that is wanted."""
        for frame in self.seen:
            if wanted(frame):
                self.seen.remove(frame)
                return frame
        async with asyncio.timeout(timeout_s):
            while True:
                frame = json.loads(await self.connection.recv())
                if wanted(frame):
                    return dict(frame)
                self.seen.append(frame)

    async def event(self, kind: str, **data: Any) -> dict[str, Any]:
        """The next event of a kind whose data has these values."""

        def wanted(frame: dict[str, Any]) -> bool:
            event = frame.get("event", {})
            return bool(event.get("type", "").endswith(f".{kind}")) and data.items() <= event["data"].items()

        return (await self.wait_for(wanted))["event"]  # type: ignore[no-any-return]

    async def close(self) -> None:
        await self.connection.close()


@dataclass(frozen=True)
class Stocked:
    """Something on the menu, and the one item it is made of."""

    item_id: str
    menu_item_id: str
    site_id: str

    def order(self, quantity: int = 1) -> dict[str, Any]:
        """An order of it, with a client-made id."""
        return {"id": str(uuid7()), "lines": [{"menu_item_id": self.menu_item_id, "quantity": quantity}]}


async def stock(client: httpx.AsyncClient, site_id: str, quantity: int) -> Stocked:
    """Put a new thing on the menu, made of a new item of which the site has `quantity`."""
    name = f"T-{uuid7()}"
    item = await created(client, "/api/v1/inventory/items", {"sku": name, "name": name, "unit": "each"})
    batch = {"site_id": site_id, "lot": "L1", "quantity": quantity}
    await created(client, f"/api/v1/inventory/items/{item['id']}/batches", batch)
    price = {"amount": 450, "currency": "USD"}
    recipe = [{"item_id": item["id"], "quantity": 1}]
    menu_item = await created(client, "/api/v1/menu-items", {"name": name, "price": price, "recipe": recipe})
    return Stocked(item["id"], menu_item["id"], site_id)


async def created(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST that must succeed, as soon as the service is there; the thing that was made."""
    answer = await client.post(path, json=body)
    async with asyncio.timeout(60):
        # After a kill, or on a machine that is too busy for heartbeats, a service may be away for a moment.
        while answer.status_code == 503:
            await asyncio.sleep(float(answer.headers["retry-after"]))
            answer = await client.post(path, json=body)
    assert answer.status_code == 201, f"{path}: {answer.status_code} {answer.text}"
    data: dict[str, Any] = answer.json()["data"]
    return data


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


async def eventually(ask: Any, timeout_s: float = 15) -> Any:
    """The first true answer."""
    async with asyncio.timeout(timeout_s):
        while not (found := await ask()):
            await asyncio.sleep(0.05)
    return found
