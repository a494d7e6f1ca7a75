"""Locks, from outside and between services: who holds, who waits, who is told; no place is lost with a process."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from switchyard.locks.v1 import locks_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import call, credentials, directory, errors, identity, locks
from chassis.locks import Locks
from chassis.rpc import client
from cli.run_dir import RunDir, root_secret, service_credential
from tests.e2e.conftest import Socket, System, eventually

BASES = ("/api/v1/locks", "/api/distributed-locks")


@pytest.fixture
def name() -> str:
    """A lock of this test alone."""
    return f"plan-{uuid7()}"


async def _ask(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json() if answer.content else {}
    # An alias answers with the thing itself.
    inner: dict[str, Any] = found.get("data", found)
    return inner


async def _acquire(client: httpx.AsyncClient, name: str, **more: Any) -> dict[str, Any]:
    return await _ask(client, "/api/v1/locks/acquire", lock_name=name, **more)


async def _release(client: httpx.AsyncClient, lease: dict[str, Any]) -> httpx.Response:
    return await client.post("/api/v1/locks/release", json={"lock_id": lease["lock_id"]})


async def _lock(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/locks/{name}")
    found: dict[str, Any] = answer.json().get("data") or {}
    return found


async def _until_waiting(client: httpx.AsyncClient, name: str, count: int) -> list[str]:
    """The owners of those who wait, once there are so many."""

    async def waiting() -> list[str]:
        waiters = (await _lock(client, name)).get("waiters", [])
        return [waiter["owner"] for waiter in waiters] if len(waiters) == count else []

    found: list[str] = await eventually(waiting)
    return found


class TestLease:
    @pytest.mark.parametrize("base", BASES)
    async def test_acquired_renewed_and_released(self, admin: httpx.AsyncClient, name: str, base: str) -> None:
        lease = await _ask(admin, f"{base}/acquire", lock_name=name, timeout=20)
        second = await _acquire(admin, name)
        renewed = await _ask(admin, f"{base}/renew", lock_id=lease["lock_id"], timeout=40)
        held = await _lock(admin, name)
        await _ask(admin, f"{base}/release", lock_id=lease["lock_id"])
        free = await _lock(admin, name)
        again = await _acquire(admin, name)

        assert (lease["acquired"], second["acquired"], second.get("lock_id")) == (True, False, None)
        assert renewed["fencing_token"] == lease["fencing_token"] < again["fencing_token"]
        assert renewed["expires_at"] > lease["expires_at"]
        assert (held["held"], held["fencing_token"]) == (True, lease["fencing_token"])
        assert (free["held"], free.get("holders", [])) == (False, [])

    async def test_is_listed_with_its_holder(self, admin: httpx.AsyncClient, name: str) -> None:
        me = (await admin.get("/api/v1/auth/me")).json()["data"]["id"]
        await _acquire(admin, name, owner="nightly")

        listed = (await admin.get("/api/v1/locks", params={"page_size": 100})).json()["data"]
        [held] = [lock for lock in listed if lock["name"] == name]

        assert (held["holder"], held["holders"][0]["owner"]) == (f"user:{me}", "nightly")

    async def test_one_who_waits_gets_it_from_one_who_releases(
        self, admin: httpx.AsyncClient, manager: httpx.AsyncClient, name: str
    ) -> None:
        lease = await _acquire(admin, name)
        waiting = asyncio.create_task(_acquire(manager, name, blocking_timeout=30, owner="next"))
        assert await _until_waiting(admin, name, 1) == ["next"]

        await _release(admin, lease)
        handed_over = await waiting

        assert handed_over["acquired"]
        assert handed_over["fencing_token"] > lease["fencing_token"]

    async def test_the_same_key_is_the_same_lease(self, admin: httpx.AsyncClient, name: str) -> None:
        headers = {"Idempotency-Key": str(uuid7())}
        answers = [
            await admin.post("/api/v1/locks/acquire", json={"lock_name": name}, headers=headers) for _ in range(2)
        ]
        first, second = (answer.json()["data"] for answer in answers)

        assert (first["lock_id"], first["fencing_token"]) == (second["lock_id"], second["fencing_token"])
        assert (await _release(admin, first)).status_code == 204
        assert not (await _lock(admin, name))["held"]

    async def test_another_tenant_sees_and_meets_nothing(
        self, system: System, admin: httpx.AsyncClient, name: str
    ) -> None:
        lease = await _acquire(admin, name)

        async with await system.acting("admin", 1) as stranger:
            looked = await stranger.get(f"/api/v1/locks/{name}")
            listed = (await stranger.get("/api/v1/locks", params={"page_size": 100})).json()["data"]
            broken = await stranger.post(f"/api/v1/locks/{name}/break", json={"reason": "mine"})
            renewed = await stranger.post("/api/v1/locks/renew", json={"lock_id": lease["lock_id"]})
            released = await _release(stranger, lease)
            own = await _acquire(stranger, name)

        assert (looked.status_code, broken.status_code) == (404, 404)
        assert name not in [lock["name"] for lock in listed]
        assert [(each.status_code, each.json()["code"]) for each in (renewed, released)] == [(409, "LEASE_LOST")] * 2
        assert own["acquired"]
        assert (await _lock(admin, name))["fencing_token"] == lease["fencing_token"]


class TestBreak:
    async def test_its_holder_is_told_and_the_trail_knows_why(
        self, system: System, admin: httpx.AsyncClient, manager: httpx.AsyncClient, name: str
    ) -> None:
        me = (await manager.get("/api/v1/auth/me")).json()["data"]["id"]
        socket = await Socket.open(system, await system.login("manager"), system.tenant())
        assert (await socket.subscribe(f"user:{me}"))["type"] == "subscribed"
        lease = await _acquire(manager, name)
        waiting = asyncio.create_task(_acquire(manager, name, blocking_timeout=30))
        await _until_waiting(admin, name, 1)

        await _ask(admin, f"/api/v1/locks/{name}/break", reason="its holder hangs")
        told = (await socket.event("LeaseLost", lock_name=name))["data"]
        next_one = await waiting
        late = [await manager.post(f"/api/v1/locks/{what}", json={"lock_id": lease["lock_id"]}) for what in LATE]

        assert (told["reason"], told["comment"], told["fencing_token"]) == (
            "broken",
            "its holder hangs",
            lease["fencing_token"],
        )
        assert next_one["fencing_token"] > lease["fencing_token"]
        assert [(answer.status_code, answer.json()["code"]) for answer in late] == [(409, "LEASE_LOST")] * 2
        [entry] = await eventually(lambda: _trail(admin, name))
        assert entry["action"] == "locks.BreakLock"
        assert "its holder hangs" in json.dumps(entry)
        await socket.close()

    async def test_who_may_not_break_cannot(self, system: System, admin: httpx.AsyncClient, name: str) -> None:
        await _acquire(admin, name)

        async with await system.acting("staff") as staff:
            answer = await staff.post(f"/api/v1/locks/{name}/break", json={"reason": "I want it"})

        assert answer.status_code == 403
        assert (await _lock(admin, name))["held"]


LATE = ("renew", "release")


async def _trail(client: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    query = await client.post("/api/v1/audit/query", json={"resource": f"locks/{name}"})
    found: list[dict[str, Any]] = query.json()["data"]
    return [entry for entry in found if entry["outcome"] == "success"]


class Process:
    """What another service's process has: it holds locks of the first company's, each task for itself."""

    def __init__(self, held: Locks, found: directory.Watched, tenant: UUID) -> None:
        self.locks = held
        self.directory = found
        self._principal = identity.service_principal("orders", tenant)
        self.order: list[str] = []
        self.tokens: list[int] = []

    def begin(self, work: Awaitable[None]) -> "asyncio.Task[None]":
        """Work of its own."""

        async def acting() -> None:
            with call.answering(call.Call(principal=self._principal, action="orders.Test")):
                await work

        return asyncio.create_task(acting())

    async def hold(self, name: str, owner: str, until: asyncio.Event) -> None:
        """Hold a lock until the event, and note when it was had."""
        async with self.locks.hold(name, owner=owner) as lease:
            self.order.append(owner)
            self.tokens.append(lease.fencing_token)
            await until.wait()

    def instances(self) -> int:
        """How many processes of locks it knows."""
        return len(self.directory.pool("locks").peers)


@pytest_asyncio.fixture(loop_scope="session")
async def process(system: System) -> AsyncIterator[Process]:
    """A process of orders beside those of the suite."""
    state = json.loads((system.run_dir / "state.json").read_text())
    credential = service_credential(root_secret(RunDir(system.run_dir)), "orders")
    own = credentials.Credentials(state["auth_address"], credential)
    found = directory.Watched(state["registry_address"])
    following = asyncio.create_task(found.run())
    channel: Any = client.Channel("locks", found, own.issue, deadline_s=10)
    yield Process(Locks(locks_pb2_grpc.LocksServiceStub(channel)), found, UUID(system.tenant()))
    following.cancel()
    await found.close()
    await own.close()


class TestHold:
    async def test_a_body_is_cancelled_when_its_lock_is_broken(
        self, admin: httpx.AsyncClient, process: Process, name: str
    ) -> None:
        holding = process.begin(process.hold(name, "theirs", asyncio.Event()))

        async def held() -> bool:
            return bool((await _lock(admin, name)).get("held"))

        await eventually(held)
        await _ask(admin, f"/api/v1/locks/{name}/break", reason="its holder hangs")

        with pytest.raises(errors.LeaseLost, match="its holder hangs") as raised:
            await asyncio.wait_for(holding, 20)
        assert raised.value.metadata["reason"] == "broken"

    async def test_a_circle_is_told_to_the_youngest(self, process: Process, name: str) -> None:
        ready = [asyncio.Event(), asyncio.Event()]

        async def both(first: int) -> None:
            async with process.locks.hold(f"{name}-{first}"):
                ready[first].set()
                await ready[1 - first].wait()
                async with process.locks.hold(f"{name}-{1 - first}"):
                    pass

        outcomes = await asyncio.wait_for(
            asyncio.gather(process.begin(both(0)), process.begin(both(1)), return_exceptions=True), 60
        )

        failed = [outcome for outcome in outcomes if outcome is not None]
        assert [(type(each), getattr(each, "code", "")) for each in failed] == [(errors.Conflict, "DEADLOCK")]

    async def test_who_gives_up_leaves_the_line(self, admin: httpx.AsyncClient, process: Process, name: str) -> None:
        await _acquire(admin, name)

        with pytest.raises(errors.Exhausted):
            await process.begin(_try(process, name))

        await _until_nobody_waits(admin, name)

    async def test_no_lease_and_no_place_is_lost_with_a_process(
        self, system: System, admin: httpx.AsyncClient, process: Process, name: str
    ) -> None:
        async with system.another("locks") as second:
            await eventually(lambda: _knows(process, 2), 60)
            releases = [asyncio.Event() for _ in range(6)]
            owners = [f"{name[-6:]}-{number}" for number in range(len(releases))]
            tasks = []
            for owner, release in zip(owners, releases, strict=True):
                tasks.append(process.begin(process.hold(name, owner, release)))
                if len(tasks) == 1:
                    await eventually(lambda: _true(process.order))
                else:
                    await _until_waiting(admin, name, len(tasks) - 1)

            # Each of the two has some of the streams.
            system.kill("locks")
            await eventually(lambda: _knows(process, 1), 60)
            await eventually(lambda: _knows(process, 2), 60)
            after_first = await _until_waiting(admin, name, 5)
            second.kill()
            await eventually(lambda: _knows(process, 1), 60)
            after_second = await _until_waiting(admin, name, 5)
            held = not any(task.done() for task in tasks)
            for release in releases:
                release.set()
            await asyncio.wait_for(asyncio.gather(*tasks), 60)

        assert after_first == after_second == owners[1:]
        assert held
        assert process.order == owners
        assert process.tokens == sorted(set(process.tokens))


async def _try(process: Process, name: str) -> None:
    async with process.locks.hold(name, mode=locks.EXCLUSIVE, patience_s=0):
        pass


async def _until_nobody_waits(client: httpx.AsyncClient, name: str) -> None:
    async def nobody() -> bool:
        return not (await _lock(client, name)).get("waiters")

    await eventually(nobody)


async def _true(found: Any) -> bool:
    return bool(found)


async def _knows(process: Process, count: int) -> bool:
    return process.instances() == count
