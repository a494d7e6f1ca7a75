"""locks through real servers, several of them."""

import asyncio
import json
import uuid
from typing import Any

import asyncpg
import grpc.aio
import pytest
from nats.aio.client import Client as Nats
from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1 import locks_pb2_grpc
from switchyard.locks.v1.stored_pb2 import LostLease, StoredLock, StoredLoss

from chassis import errors
from chassis.buckets import Bucket
from chassis.identity import Principal
from chassis.testing import Databases, Running, Serve, Tenant
from services.locks import documents, locks, losses
from services.locks.__main__ import build


def _stub(running: Running, principal: Principal, **told: str) -> Any:
    return locks_pb2_grpc.LocksServiceStub(running.channel(principal, **told))


def _acquire(name: str = "restock", **values: Any) -> pb.AcquireRequest:
    return pb.AcquireRequest(lock_name=name, **values)


def _hold(name: str = "restock", **values: Any) -> pb.HoldRequest:
    return pb.HoldRequest(wish=_acquire(name, **values))


async def _all_told(nats_client: Nats, tenant: Tenant) -> None:
    """Wait until nothing is left to be told of a lock."""
    bucket = Bucket(nats_client, "locks", replicas=1)
    async with asyncio.timeout(20):
        while True:
            entry = await bucket.get(documents.key_of(tenant.id, "restock"))
            if entry is not None and locks.is_free(locks.read(entry.value, entry.revision)):
                return
            await asyncio.sleep(0.02)


async def _outbox(databases: Databases, tenant: Tenant) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(databases.admin("locks"))
    rows = await connection.fetch("SELECT envelope FROM outbox WHERE tenant_id = $1 ORDER BY seq", tenant.id)
    await connection.close()
    return [json.loads(row["envelope"]) for row in rows]


class TestAcquire:
    async def test_one_of_twenty_gets_it(self, serve: Serve, tenant: Tenant) -> None:
        both = await serve("locks", build), await serve("locks", build)
        stubs = [_stub(running, tenant.user()) for running in both]

        leases = await asyncio.gather(*(stubs[place % 2].Acquire(_acquire()) for place in range(20)))

        assert sum(lease.acquired for lease in leases) == 1
        assert all(lease.queue_position == 0 for lease in leases)

    async def test_never_two_holders_and_tokens_grow(self, serve: Serve, tenant: Tenant) -> None:
        both = await serve("locks", build), await serve("locks", build)
        holding, tokens = 0, []

        async def work(running: Running) -> None:
            nonlocal holding
            stub = _stub(running, tenant.user())
            for _ in range(3):
                lease = await stub.Acquire(_acquire(blocking_timeout=15))
                assert lease.acquired
                holding += 1
                assert holding == 1
                tokens.append(lease.fencing_token)
                await asyncio.sleep(0)
                holding -= 1
                await stub.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

        await asyncio.gather(*(work(running) for running in both for _ in range(4)))

        assert tokens == sorted(set(tokens))
        assert len(tokens) == 24

    async def test_two_tenants_locks_of_one_name_are_two(self, serve: Serve, tenant: Tenant) -> None:
        running = await serve("locks", build)

        leases = [await _stub(running, each.user()).Acquire(_acquire()) for each in (tenant, Tenant())]

        assert all(lease.acquired for lease in leases)

    async def test_waiting_ends_without_the_lock(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        await stub.Acquire(_acquire())

        refused = await stub.Acquire(_acquire(blocking_timeout=1))

        assert not refused.acquired
        assert refused.queue_position == 0
        assert not (await stub.GetLock(pb.GetLockRequest(name="restock"))).waiters

    async def test_sent_again_with_its_id_it_is_the_same_lease(self, serve: Serve, tenant: Tenant) -> None:
        user, wish = tenant.user(), _acquire(lock_id=str(uuid.uuid4()))
        first = await _stub(await serve("locks", build), user).Acquire(wish)

        second = await _stub(await serve("locks", build), user).Acquire(wish)

        assert (second.lock_id, second.fencing_token) == (first.lock_id, first.fencing_token)
        assert second.holds == 1

    async def test_sent_again_with_its_key_it_is_the_same_lease(self, serve: Serve, tenant: Tenant) -> None:
        running, user = await serve("locks", build), tenant.user()
        first = await _stub(running, user, switchyard_idempotency_key="k").Acquire(_acquire())

        second = await _stub(running, user, switchyard_idempotency_key="k").Acquire(_acquire())
        other = await _stub(running, user, switchyard_idempotency_key="k").Acquire(_acquire("another"))

        assert (second.lock_id, second.fencing_token) == (first.lock_id, first.fencing_token)
        assert other.lock_id != first.lock_id

    async def test_shared_it_has_one_permit(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())

        with pytest.raises(errors.Invalid) as invalid:
            await stub.Acquire(_acquire(mode=pb.LOCK_MODE_SHARED, permits=2))

        assert "permits" in invalid.value.fields

    async def test_the_youngest_of_a_circle_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        user = tenant.user()
        one, other = [_stub(await serve("locks", build), user) for _ in range(2)]
        first = await one.Acquire(_acquire("a", owner="first"))
        second = await other.Acquire(_acquire("b", owner="second"))
        waiting = one.Hold(_hold("b", owner="first"))
        await waiting.read()

        with pytest.raises(errors.Conflict) as refused:
            await other.Acquire(_acquire("a", owner="second", blocking_timeout=20))
        await other.Release(pb.ReleaseRequest(lock_id=second.lock_id))

        assert first.acquired
        assert refused.value.code == "DEADLOCK"
        assert (await waiting.read()).granted.acquired


class TestHold:
    async def test_a_grant_by_another_process_is_pushed(self, serve: Serve, tenant: Tenant) -> None:
        user = tenant.user()
        one, other = [_stub(await serve("locks", build), user) for _ in range(2)]
        lease = await one.Acquire(_acquire())
        following = other.Hold(_hold())
        waiting = await following.read()

        await one.Release(pb.ReleaseRequest(lock_id=lease.lock_id))
        granted = await following.read()

        assert waiting.waiting.queue_position == 0
        assert granted.granted.fencing_token > lease.fencing_token

    async def test_a_lease_that_nobody_renews_is_told_to_be_lost(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        following = stub.Hold(_hold(timeout=1))
        granted = await following.read()

        lost = await following.read()

        assert lost.lost.reason == pb.LOSS_REASON_EXPIRED
        with pytest.raises(errors.LeaseLost):
            await stub.Renew(pb.RenewRequest(lock_id=granted.granted.lock_id))

    async def test_a_wish_that_is_refused_is_an_error(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        await stub.Acquire(_acquire(permits=2))

        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Hold(_hold()).read()

        assert errors.from_rpc_error(refused.value).code == "LOCK_MISMATCH"


class TestRenew:
    async def test_it_lives_longer(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        lease = await stub.Acquire(_acquire())

        renewed = await stub.Renew(pb.RenewRequest(lock_id=lease.lock_id, timeout=60))

        assert renewed.fencing_token == lease.fencing_token
        assert renewed.timeout == 60
        assert renewed.expires_at.ToDatetime() > lease.expires_at.ToDatetime()

    async def test_what_another_process_has_granted(self, serve: Serve, tenant: Tenant) -> None:
        user = tenant.user()
        lease = await _stub(await serve("locks", build), user).Acquire(_acquire())

        renewed = await _stub(await serve("locks", build), user).Renew(pb.RenewRequest(lock_id=lease.lock_id))

        assert renewed.lock_id == lease.lock_id

    async def test_what_nobody_knows_is_lost(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())

        with pytest.raises(errors.LeaseLost):
            await stub.Renew(pb.RenewRequest(lock_id=str(uuid.uuid4())))


class TestRelease:
    async def test_another_cannot_release(self, serve: Serve, tenant: Tenant) -> None:
        running = await serve("locks", build)
        lease = await _stub(running, tenant.user()).Acquire(_acquire())

        for stranger in (tenant.user(), Tenant().user()):
            with pytest.raises(errors.LeaseLost):
                await _stub(running, stranger).Release(pb.ReleaseRequest(lock_id=lease.lock_id))

    async def test_released_it_is_free(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        lease = await stub.Acquire(_acquire())

        await stub.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

        assert not (await stub.GetLock(pb.GetLockRequest(name="restock"))).held
        assert (await stub.Acquire(_acquire())).fencing_token > lease.fencing_token

    async def test_sent_again_it_succeeds_anywhere(self, serve: Serve, tenant: Tenant) -> None:
        user = tenant.user()
        one, other = [_stub(await serve("locks", build), user) for _ in range(2)]
        lease = await one.Acquire(_acquire())

        for stub in (one, other):
            await stub.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

        assert not (await one.GetLock(pb.GetLockRequest(name="restock"))).held

    async def test_sent_again_after_many_others_it_succeeds_anywhere(
        self, serve: Serve, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locks, "RELEASED_MAX", 1)
        user = tenant.user()
        one, other = [_stub(await serve("locks", build), user) for _ in range(2)]
        leases = []
        for _ in range(3):
            leases.append(await one.Acquire(_acquire()))
            await one.Release(pb.ReleaseRequest(lock_id=leases[-1].lock_id))

        for stub in (one, other):
            await stub.Release(pb.ReleaseRequest(lock_id=leases[0].lock_id))

        assert not (await one.GetLock(pb.GetLockRequest(name="restock"))).held

    async def test_sent_again_it_succeeds_with_a_process_that_has_just_begun(
        self, serve: Serve, tenant: Tenant
    ) -> None:
        user = tenant.user()
        one = _stub(await serve("locks", build), user)
        lease = await one.Acquire(_acquire())
        await one.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

        other = _stub(await serve("locks", build), user)

        await other.Release(pb.ReleaseRequest(lock_id=lease.lock_id))

    async def test_what_was_acquired_again_is_free_when_each_is_given_back(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        first, second = [await stub.Acquire(_acquire(owner="task")) for _ in range(2)]
        held = []

        for lease in (first, first, second):
            await stub.Release(pb.ReleaseRequest(lock_id=lease.lock_id))
            held.append((await stub.GetLock(pb.GetLockRequest(name="restock"))).held)

        assert first.lock_id != second.lock_id
        assert first.fencing_token == second.fencing_token
        assert (second.holds, held) == (2, [True, True, False])


class TestListLocks:
    async def test_shows_who_holds_what(self, serve: Serve, tenant: Tenant) -> None:
        user = tenant.user()
        stub = _stub(await serve("locks", build), user)
        await stub.Acquire(_acquire("b"))
        await stub.Acquire(_acquire("a"))

        listed = await _stub(await serve("locks", build), user).ListLocks(pb.ListLocksRequest())

        assert [(lock.name, lock.holder) for lock in listed.locks] == [("a", user.name), ("b", user.name)]

    async def test_pages_by_name(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        await asyncio.gather(*(stub.Acquire(_acquire(name)) for name in "cab"))

        first = await stub.ListLocks(pb.ListLocksRequest(page_size=2))
        last = await stub.ListLocks(pb.ListLocksRequest(page_size=2, cursor=first.next_cursor))

        assert [lock.name for lock in first.locks] == ["a", "b"]
        assert [lock.name for lock in last.locks] == ["c"]
        assert not last.next_cursor


class TestGetLock:
    async def test_shows_who_holds_and_who_waits(self, serve: Serve, tenant: Tenant) -> None:
        running, holder, waiter = await serve("locks", build), tenant.user(), tenant.user()
        await _stub(running, holder).Acquire(_acquire(owner="task"))
        waiting = _stub(running, waiter).Hold(_hold())
        await waiting.read()

        lock = await _stub(running, holder).GetLock(pb.GetLockRequest(name="restock"))

        assert [(each.holder, each.owner) for each in lock.holders] == [(holder.name, "task")]
        assert [each.holder for each in lock.waiters] == [waiter.name]

    async def test_anothers_lock_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        running = await serve("locks", build)
        await _stub(running, tenant.user()).Acquire(_acquire())

        with pytest.raises(errors.NotFound):
            await _stub(running, Tenant().user()).GetLock(pb.GetLockRequest(name="restock"))


class TestBreakLock:
    async def test_all_are_told_and_the_trail_once(self, serve: Serve, tenant: Tenant, databases: Databases) -> None:
        holder, admin = tenant.user(), tenant.user()
        one, other = await serve("locks", build), await serve("locks", build)
        held = _stub(one, holder).Hold(_hold())
        granted = await held.read()

        broken = await _stub(other, admin).BreakLock(pb.BreakLockRequest(name="restock", reason="it hangs"))

        lost = (await held.read()).lost
        assert not broken.held
        assert (lost.reason, lost.comment, lost.by) == (pb.LOSS_REASON_BROKEN, "it hangs", admin.name)
        event, audited = await _outbox(databases, tenant)
        assert event["data"]["fencing_token"] == granted.granted.fencing_token
        assert (event["data"]["reason"], event["data"]["by"]) == ("broken", admin.name)
        assert (audited["action"], audited["actor"]) == ("locks.BreakLock", admin.name)

    async def test_a_trail_that_is_in_the_way_is_told_later(
        self,
        serve: Serve,
        tenant: Tenant,
        databases: Databases,
        nats_client: Nats,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        failures, tell = [errors.Conflict(code="CONTENTION")] * 2, losses.tell

        async def tell_later(*told: Any) -> None:
            if failures:
                raise failures.pop()
            await tell(*told)

        monkeypatch.setattr(losses, "tell", tell_later)
        stub = _stub(await serve("locks", build), tenant.user())
        await stub.Acquire(_acquire())

        broken = await stub.BreakLock(pb.BreakLockRequest(name="restock", reason="it hangs"))
        await _all_told(nats_client, tenant)

        assert not broken.held
        assert [each.get("data", {}).get("reason") for each in await _outbox(databases, tenant)] == ["broken", None]

    async def test_the_next_in_line_keeps_it(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        await stub.Acquire(_acquire())
        following = stub.Hold(_hold())
        await following.read()

        lock = await stub.BreakLock(pb.BreakLockRequest(name="restock", reason="it hangs"))

        assert (await following.read()).granted.acquired
        assert lock.held

    async def test_staff_may_not(self, serve: Serve, tenant: Tenant) -> None:
        stub = _stub(await serve("locks", build), tenant.user(permissions=["locks.read", "locks.write"]))

        with pytest.raises(errors.Denied):
            await stub.BreakLock(pb.BreakLockRequest(name="restock", reason="it hangs"))


class TestDeletedByHand:
    @pytest.mark.parametrize(
        ("value", "headers"), [(b"", {"KV-Operation": "DEL"}), (b"garbage", {})], ids=["deleted", "overwritten"]
    )
    async def test_the_lock_is_free_for_whoever_is_next(
        self, serve: Serve, tenant: Tenant, nats_client: Nats, value: bytes, headers: dict[str, str]
    ) -> None:
        running, user = await serve("locks", build), tenant.user()
        stub = _stub(running, user)
        held = await stub.Acquire(_acquire())
        waiting = stub.Hold(_hold())
        await waiting.read()

        for key in (f"nobody.{tenant.id}", documents.key_of(tenant.id, "restock")):
            await nats_client.jetstream().publish(f"$KV.locks.{key}", value, headers=headers)

        lease = (await waiting.read()).granted
        another = _stub(await serve("locks", build), user)
        assert lease.fencing_token > held.fencing_token
        with pytest.raises(errors.Conflict) as lost:
            await another.Renew(pb.RenewRequest(lock_id=held.lock_id))
        assert lost.value.code == "LEASE_LOST"
        await another.Release(pb.ReleaseRequest(lock_id=lease.lock_id))
        assert (await another.Acquire(_acquire())).acquired


class TestLosses:
    async def test_an_expired_lease_is_told_once(
        self, serve: Serve, tenant: Tenant, databases: Databases, nats_client: Nats
    ) -> None:
        user = tenant.user()
        running, _other = await serve("locks", build), await serve("locks", build)
        following = _stub(running, user).Hold(_hold(timeout=1))
        await following.read()
        await following.read()

        await _all_told(nats_client, tenant)

        event, audited = await _outbox(databases, tenant)
        assert (event["data"]["reason"], event["data"]["holder"]) == ("expired", user.name)
        assert audited["action"] == "locks.ExpireLease"

    async def test_each_of_two_with_one_id_is_told(
        self, serve: Serve, tenant: Tenant, databases: Databases, nats_client: Nats
    ) -> None:
        stub = _stub(await serve("locks", build), tenant.user())
        chosen = str(uuid.uuid4())
        following = stub.Hold(_hold(timeout=1, lock_id=chosen))
        await following.read()
        await following.read()
        await _all_told(nats_client, tenant)

        await stub.Acquire(_acquire("another", lock_id=chosen))
        await stub.BreakLock(pb.BreakLockRequest(name="another", reason="it hangs"))

        told = [event["data"]["reason"] for event in await _outbox(databases, tenant) if "data" in event]
        assert told == ["expired", "broken"]

    async def test_what_a_dead_process_has_not_told_is_told_by_another(
        self, serve: Serve, tenant: Tenant, databases: Databases, nats_client: Nats
    ) -> None:
        bucket = Bucket(nats_client, "locks", replicas=1)
        await bucket.ensure()
        # As it stands when a process was killed: of one loss it had told, of the other it had not.
        lost = [LostLease(token=token, holder="user:a") for token in (7, 8)]
        loss = StoredLoss(reason=locks.EXPIRED, leases=lost)
        connection = await asyncpg.connect(await databases.url("locks"))
        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(tenant.id))
            told = "INSERT INTO told_losses (tenant_id, token) VALUES ($1, $2)"
            await connection.execute(told, tenant.id, lost[0].token)
        await connection.close()
        key = documents.key_of(tenant.id, "restock")
        await bucket.put(key, StoredLock(losses=[loss]).SerializeToString(), last=0)

        await serve("locks", build)
        await _all_told(nats_client, tenant)

        event, audited = await _outbox(databases, tenant)
        assert event["data"]["reason"] == "expired"
        assert audited["action"] == "locks.ExpireLease"
