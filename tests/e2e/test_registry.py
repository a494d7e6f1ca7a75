"""The registry as operators, callers and screens see it: nobody notices a replacement, everybody hears of a kill."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

import grpc
import grpc.aio
import httpx
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from switchyard.registry.v1 import registry_pb2
from switchyard.tenants.v1 import sites_pb2, sites_pb2_grpc
from uuid_utils.compat import UUID, uuid7
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from chassis import call, embedded, identity
from chassis.credentials import Credentials
from chassis.directory import Watched
from chassis.rpc import client
from cli.run_dir import RunDir, root_secret, service_credential
from tests.e2e.conftest import System, created, eventually

SERVICE = "tenants"
PATH = f"/api/v1/services/{SERVICE}/instances"
# A machine that is shared may take long to start a process.
PATIENCE_S = 120.0
# Between two calls of one caller, lest the load itself be all that the machine has time for.
PACE_S = 0.01


async def _passing(admin: httpx.AsyncClient, pid: int) -> str:
    """The instance that is a process, once it takes calls; else nothing."""
    found = await _instance(admin, pid)
    return str(found["id"]) if found.get("state") == "passing" else ""


async def _instance(admin: httpx.AsyncClient, pid: int) -> dict[str, Any]:
    answer = await admin.get(PATH, params={"include_gone": True})
    found = answer.json()["data"] if answer.status_code == 200 else []
    return next((each for each in found if each["metadata"].get("pid") == str(pid)), {})


async def _is_gone(admin: httpx.AsyncClient, pid: int) -> bool:
    return bool((await _instance(admin, pid)).get("state") == "gone")


class Load:
    """Calls without a pause, and how they ended."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stopped = False
        self._callers: list[tuple[str, Callable[[], Any]]] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def add(self, kind: str, ask: Callable[[], Any]) -> None:
        """One more caller; `ask` answers with what was wrong."""
        self._callers.append((kind, ask))
        self.answered[kind] = 0

    def begin(self) -> None:
        """Call again and again."""
        self._tasks = [asyncio.create_task(self._go_on(kind, ask)) for kind, ask in self._callers]

    async def more(self, count: int = 30) -> None:
        """Wait for so many more calls of each kind."""
        before = dict(self.answered)
        await eventually(lambda: self._reached({kind: seen + count for kind, seen in before.items()}), PATIENCE_S)

    async def stop(self) -> None:
        """No more calls; those under way end."""
        self._stopped = True
        await asyncio.gather(*self._tasks)

    async def _reached(self, wanted: dict[str, int]) -> bool:
        return all(self.answered[kind] >= count for kind, count in wanted.items())

    async def _go_on(self, kind: str, ask: Callable[[], Any]) -> None:
        while not self._stopped:
            try:
                failure = await ask()
            except Exception as raised:  # noqa: BLE001 - whatever it is, it is counted
                failure = repr(raised)
            if failure:
                self.failures.append(f"{kind}: {failure}")
            self.answered[kind] += 1
            await asyncio.sleep(PACE_S)


@pytest_asyncio.fixture(loop_scope="session")
async def load(system: System, admin: httpx.AsyncClient) -> AsyncIterator[Load]:
    """Two who read, two who write, both through the gateway, and two services that call directly."""
    async with AsyncExitStack() as stack, Load() as load:
        for _ in range(2):
            http = await stack.enter_async_context(await system.acting("admin"))
            body = {"name": f"S-{uuid7()}", "kind": "bar"}
            station = await created(admin, f"/api/v1/sites/{system.site()}/stations", body)
            load.add("read", partial(_read, http))
            load.add("write", partial(_write, http, station["id"]))
            load.add("service", await stack.enter_async_context(_service(system)))
        yield load


async def _read(http: httpx.AsyncClient) -> str:
    answer = await http.get("/api/v1/sites")
    return "" if answer.status_code == 200 else answer.text


async def _write(http: httpx.AsyncClient, station: str) -> str:
    # Not idempotent: nobody tries it again.
    answer = await http.patch(f"/api/v1/stations/{station}", json={"name": f"S-{uuid7()}"})
    return "" if answer.status_code == 200 else answer.text


@asynccontextmanager
async def _service(system: System, registry_address: str = "") -> AsyncIterator[Callable[[], Any]]:
    """A service that calls another one as all of them do."""
    auth_address = RunDir(system.run_dir).state()["auth_address"]
    proof = service_credential(root_secret(RunDir(system.run_dir)), "orders")
    credentials = Credentials(auth_address, proof)
    principal = identity.service_principal("orders", UUID(system.tenant()))

    async with _watched(system, registry_address) as watched:
        channel: Any = client.Channel(SERVICE, watched, credentials.issue, deadline_s=10)
        stub = sites_pb2_grpc.SitesServiceStub(channel)

        async def resolve() -> str:
            with call.answering(call.Call(principal, "orders.Test")):
                answer = await stub.ResolveSites(sites_pb2.ResolveSitesRequest())
            return "" if answer.sites else "no sites"

        yield resolve
    await credentials.close()


@asynccontextmanager
async def _watched(system: System, registry_address: str = "") -> AsyncIterator[Watched]:
    """What a process knows of the others."""
    watched = Watched(registry_address or RunDir(system.run_dir).state()["registry_address"])
    following = asyncio.create_task(watched.run())
    try:
        yield watched
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await watched.close()


class TestReplacement:
    async def test_nobody_notices_that_an_instance_is_drained_and_replaced(
        self,
        system: System,
        admin: httpx.AsyncClient,
        load: Load,
        record_property: Callable[[str, object], None],
    ) -> None:
        async with system.another(SERVICE) as second, await system.acting("operator") as operator:
            await eventually(lambda: _passing(admin, second.pid), PATIENCE_S)
            old = system.pid(SERVICE)
            drained = await _passing(admin, old)
            load.begin()
            await load.more()

            # An operator drains one, ends it, and its successor comes.
            answer = await operator.post(f"{PATH}/{drained}/drain")
            await load.more()
            os.kill(old, signal.SIGTERM)
            await eventually(lambda: _replaced(system, admin, old), PATIENCE_S)
            await load.more()
            # The other one is told to end while it takes calls.
            refusal = asyncio.create_task(_when_refused(system, await _passing(admin, second.pid)))
            await load.more()
            second.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(second.wait, PATIENCE_S)
            await load.more()
            await load.stop()

        record_property("calls", sum(load.answered.values()))
        assert (answer.status_code, code) == (204, 0)
        assert load.failures == []
        assert await refusal in {"INSTANCE_STATE_DRAINING", ""}
        history = (await admin.get(f"/api/v1/services/{SERVICE}/history", params={"instance_id": drained})).json()
        assert [entry["to_state"] for entry in history["data"][:2]] == ["gone", "draining"]


async def _when_refused(system: System, instance_id: str) -> str:
    """What a watcher knew of an instance, if anything, when it first refused a call."""
    async with _watched(system) as watched:

        async def found() -> Any:
            return next((told for told in watched.instances() if told.id == instance_id), None)

        instance = await eventually(found, PATIENCE_S)
        async with grpc.aio.insecure_channel(instance.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            with suppress(grpc.aio.AioRpcError):
                while True:
                    await health.Check(health_pb2.HealthCheckRequest())
        left = await found()
        return "" if left is None else registry_pb2.InstanceState.Name(left.state)


async def _replaced(system: System, admin: httpx.AsyncClient, old: int) -> bool:
    pid = system.pid(SERVICE)
    return pid not in {0, old} and bool(await _passing(admin, pid))


class TestSuccession:
    async def test_a_process_that_was_paused_ends_when_another_has_its_place(
        self, system: System, admin: httpx.AsyncClient
    ) -> None:
        async with system.another(SERVICE) as second, await system.acting("operator") as operator:
            await eventually(lambda: _passing(admin, second.pid), PATIENCE_S)
            paused = await _instance(admin, second.pid)
            second.send_signal(signal.SIGSTOP)

            successor = {"id": str(uuid7()), "address": paused["address"]}
            answer = await operator.post(PATH, json=successor)
            # While it was heard of a moment ago, both may live.
            await eventually(lambda: _is_gone(admin, second.pid), PATIENCE_S)
            second.send_signal(signal.SIGCONT)
            code = await asyncio.to_thread(second.wait, PATIENCE_S)
            instances = (await admin.get(PATH)).json()["data"]
            await operator.delete(f"{PATH}/{successor['id']}")

        assert (answer.status_code, code) == (201, 0)
        # It has taken nobody out on its way.
        assert successor["id"] in {each["id"] for each in instances}


class TestRegistryDies:
    async def test_another_process_knows_the_same_and_nobody_registers_again(
        self, system: System, admin: httpx.AsyncClient
    ) -> None:
        state = RunDir(system.run_dir).state()
        port = embedded.free_ports(1)[0]
        both = f"ipv4:{state['registry_address']},127.0.0.1:{port}"
        async with (
            system.another("registry", grpc_port=str(port)),
            system.another(SERVICE, registry_address=both) as second,
            _watched(system, both) as watched,
            _service(system, both) as resolve,
            Load() as load,
        ):
            load.add("service", resolve)
            await eventually(lambda: _passing(admin, second.pid), PATIENCE_S)
            before = await _instance(admin, second.pid)
            load.begin()
            await load.more()

            killed = system.kill("registry")
            second.send_signal(signal.SIGTERM)

            async def drained() -> bool:
                return before["id"] not in {told.id for told in watched.instances()}

            # The one that is left tells it, and tells it to who was with the other.
            await eventually(drained, PATIENCE_S)
            code = await asyncio.to_thread(second.wait, PATIENCE_S)
            await eventually(lambda: _is_back(system, admin, killed), PATIENCE_S)
            after = await _instance(admin, second.pid)
            await load.stop()

        assert (code, after["state"], load.failures) == (0, "gone", [])
        assert after["epoch"] == before["epoch"]


async def _is_back(system: System, admin: httpx.AsyncClient, killed: int) -> bool:
    return system.pid("registry") not in {0, killed} and (await admin.get(PATH)).status_code == 200


class TestServiceHealth:
    async def test_the_state_of_all_then_a_kill(
        self, system: System, admin: httpx.AsyncClient, record_property: Callable[[str, object], None]
    ) -> None:
        headers = {"Authorization": f"Bearer {await system.login('admin')}", "X-Tenant-ID": system.tenant()}
        async with system.another(SERVICE) as second, AsyncExitStack() as stack:
            instance_id = await eventually(lambda: _passing(admin, second.pid), PATIENCE_S)
            socket, snapshot = await eventually(lambda: _opened(stack, system, headers), PATIENCE_S)
            killed_at = time.monotonic()
            second.kill()

            told: dict[str, Any] = {}
            async with asyncio.timeout(PATIENCE_S):
                while (told.get("instance_id"), told.get("status")) != (instance_id, "critical"):
                    told = json.loads(await socket.recv())
            record_property("seen_s", round(time.monotonic() - killed_at, 2))

        assert {SERVICE, "registry"} <= {each["name"] for each in snapshot}
        assert (told["service_name"], told["previous_status"]) == (SERVICE, "passing")
        assert told["health_score"] < 100

    async def test_it_needs_the_permission(self, system: System) -> None:
        headers = {"Authorization": f"Bearer {system.kiosk_token()}"}
        async with connect(f"{system.ws_url}/service-health", additional_headers=headers) as socket:
            assert json.loads(await socket.recv())["code"] == "PERMISSION_DENIED"


async def _opened(stack: AsyncExitStack, system: System, headers: dict[str, str]) -> Any:
    """The websocket and the first that it tells; nothing when it says that one is to try again."""
    url = f"{system.ws_url}/service-health"
    socket = await stack.enter_async_context(connect(url, additional_headers=headers))
    with suppress(ConnectionClosedError):
        return socket, json.loads(await socket.recv())
    return None


class TestByHttp:
    async def test_an_instance_from_its_registration_to_its_end(self, system: System, admin: httpx.AsyncClient) -> None:
        name, instance_id = f"kettles-{uuid7().hex[-8:]}", str(uuid7())
        # Nobody listens there.
        address = f"127.0.0.1:{embedded.free_ports(1)[0]}"
        path = f"/api/v1/services/{name}/instances/{instance_id}"
        body = {"id": instance_id, "address": address, "zone": "b", "version": "1.4.0", "metadata": {"team": "tea"}}
        async with await system.acting("operator") as operator:
            registered = await operator.post(f"/api/v1/services/{name}/instances", json=body)
            instance = registered.json()["data"]["instance"]
            # The epoch is a number that JavaScript may not hold: it travels as it came.
            beat = await operator.put(f"{path}/heartbeat", json={"epoch": instance["epoch"], "ready": True})
            stale = await operator.put(f"{path}/heartbeat", json={"epoch": 1, "ready": True})
            at = datetime.now(UTC).isoformat()
            listed = (await admin.get(f"/api/services/{name}/instances")).json()["instances"]
            drained = await operator.post(f"{path}/drain")
            summary = (await admin.get(f"/api/services/{name}")).json()
            gone = await operator.delete(path)
            again = await operator.delete(path)

            assert registered.status_code == 201, registered.text
            assert (instance["weight"], instance["service"], instance["zone"]) == (100, name, "b")
            assert [beat.status_code, drained.status_code, gone.status_code, again.status_code] == [204] * 4
            assert (stale.status_code, stale.json()["code"]) == (409, "SUPERSEDED")
            assert [each["id"] for each in listed] == [instance_id]
            assert (summary["state"], summary["instances_total"], summary["zones"]) == ("draining", 1, ["b"])
            assert await eventually(lambda: _trail(operator, instance_id))

        async def written() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await admin.get(f"/api/services/{name}/history")).json()["entries"]
            return found if found and found[0]["to_state"] == "gone" else []

        # History is written from the stream, a moment later.
        assert await eventually(written)
        then = await admin.get(f"/api/v1/services/{name}/instances", params={"at": at})
        assert [each["id"] for each in then.json()["data"]] == [instance_id]

    async def test_lists_under_their_old_names(self, admin: httpx.AsyncClient) -> None:
        new = (await admin.get("/api/v1/services")).json()["data"]
        old = [
            (await admin.get(path)).json()["services"] for path in ("/api/services", "/api/service-registry/services")
        ]

        for services in (new, *old):
            assert {"registry", "auth", SERVICE} <= {each["name"] for each in services}

    async def test_a_tenant_changes_nothing(self, system: System, admin: httpx.AsyncClient) -> None:
        (instance, *_) = (await admin.get(PATH)).json()["data"]

        refused = [
            await admin.post(f"{PATH}/{instance['id']}/drain"),
            await admin.delete(f"{PATH}/{instance['id']}"),
            await admin.post(PATH, json={"id": str(uuid7()), "address": "127.0.0.1:1"}),
        ]

        assert [answer.status_code for answer in refused] == [403] * 3


async def _trail(operator: httpx.AsyncClient, instance_id: str) -> list[dict[str, Any]]:
    query = await operator.post("/api/v1/audit/query", json={"resource": f"instances/{instance_id}"})
    found: list[dict[str, Any]] = query.json()["data"]
    wanted = {"registry.Register", "registry.Drain", "registry.Deregister"}
    return found if wanted <= {entry["action"] for entry in found} else []
