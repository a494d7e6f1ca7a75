"""How each target's lock is taken and given back: by its own recipe, in its own client library."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol
from uuid import UUID, uuid4

import grpc
import grpc.aio
import redis.asyncio
from joserfc.jwk import OKPKey
from kazoo.client import KazooClient
from kazoo.recipe.lock import Lock as KazooLock
from redis.asyncio.lock import Lock as RedisLock
from switchyard.locks.v1 import locks_pb2, locks_pb2_grpc
from switchyard.registry.v1 import registry_pb2

from chassis import call, identity, locks
from chassis.peers import Peer, Pool
from chassis.rpc import client, metadata

# Life of a lease or session; longer than a turn, so that nobody has to renew in it.
LEASE_S = 120
# As long as one wish may wait.
PATIENCE_S = 60
# A pass ends after a minute.
PASS_AGE_S = 30.0
PERMISSIONS = frozenset({"locks.read", "locks.write"})


class Client(Protocol):
    """One who wants locks, one at a time."""

    async def acquire(self, name: str) -> int | None:
        """Wait for the lock; the fencing token, if there is such a thing."""

    async def release(self) -> None:
        """Give back what was acquired last."""


class Recipe(Protocol):
    """Makes clients. Those that block run in `threaded` ones."""

    threaded: bool

    async def open(self, stack: AsyncExitStack) -> None:
        """Connect."""

    async def client(self, stack: AsyncExitStack, number: int) -> Client:
        """One more client."""


# Switchyard.


class Switchyard:
    """`Acquire` and `Release` over gRPC, each client a principal of its own, with the process whose turn it is."""

    threaded = False

    def __init__(self, addresses: Sequence[str], key: dict[str, str], tenant_id: str) -> None:
        self._addresses = addresses
        self._key = OKPKey.import_key(key)
        self._tenant_id = UUID(tenant_id)

    async def open(self, stack: AsyncExitStack) -> None:
        self._stubs = [
            locks_pb2_grpc.LocksServiceStub(await stack.enter_async_context(grpc.aio.insecure_channel(address)))
            for address in self._addresses
        ]

    async def client(self, _stack: AsyncExitStack, number: int) -> Client:
        stub = self._stubs[number % len(self._stubs)]
        principal = identity.Principal("user", str(uuid4()), self._tenant_id, permissions=PERMISSIONS)
        return SwitchyardClient(stub, principal, self._key)


class SwitchyardClient:
    def __init__(self, stub: Any, principal: identity.Principal, key: OKPKey) -> None:
        self._stub = stub
        self._principal = principal
        self._key = key
        self._signed_at = float("-inf")

    async def acquire(self, name: str) -> int | None:
        self._lock_id = str(uuid4())
        request = locks_pb2.AcquireRequest(
            lock_name=name, timeout=LEASE_S, blocking_timeout=PATIENCE_S, lock_id=self._lock_id
        )
        lease = await self._stub.Acquire(request, metadata=self._told(), timeout=PATIENCE_S + 5)
        assert lease.acquired
        fence: int = lease.fencing_token
        return fence

    async def release(self) -> None:
        request = locks_pb2.ReleaseRequest(lock_id=self._lock_id)
        await self._stub.Release(request, metadata=self._told(), timeout=10)

    def _told(self) -> tuple[tuple[str, str], ...]:
        if time.monotonic() - self._signed_at > PASS_AGE_S:
            self._pass, self._signed_at = identity.sign_pass(self._principal, self._key), time.monotonic()
        return ((metadata.PASS, self._pass),)


class SwitchyardHold:
    """`chassis.locks`: a stream a lease, which tells of its loss, and renewals while it is held; a service holds it."""

    threaded = False

    def __init__(self, addresses: Sequence[str], key: dict[str, str], tenant_id: str) -> None:
        self._directory = _Fixed(addresses)
        self._key = OKPKey.import_key(key)
        principal = identity.service_principal("bench", UUID(tenant_id))
        self._call = call.Call(principal=principal, action="bench")
        self._signed_at = float("-inf")

    async def open(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._directory.close)
        channel = client.Channel("locks", self._directory, self._issue, deadline_s=PATIENCE_S)
        self._locks = locks.Locks(locks_pb2_grpc.LocksServiceStub(channel))

    async def client(self, _stack: AsyncExitStack, _number: int) -> Client:
        return SwitchyardHoldClient(self._locks, self._call)

    async def _issue(self, principal: identity.Principal) -> str:
        if time.monotonic() - self._signed_at > PASS_AGE_S:
            self._pass, self._signed_at = identity.sign_pass(principal, self._key), time.monotonic()
        return self._pass


class SwitchyardHoldClient:
    def __init__(self, held: locks.Locks, acting: call.Call) -> None:
        self._locks = held
        self._call = acting

    async def acquire(self, name: str) -> int | None:
        self._held = AsyncExitStack()
        self._held.enter_context(call.answering(self._call))
        lease = await self._held.enter_async_context(self._locks.hold(name, ttl_s=LEASE_S))
        return lease.fencing_token

    async def release(self) -> None:
        await self._held.aclose()


class _Fixed:
    """A directory of `locks` processes that are there."""

    def __init__(self, addresses: Sequence[str]) -> None:
        state = registry_pb2.INSTANCE_STATE_PASSING
        told = [registry_pb2.Instance(address=address, weight=100, state=state) for address in addresses]
        self._peers = [Peer(each, client.to_instance) for each in told]
        self._pool = Pool(self._peers)

    def pool(self, _service: str) -> Pool:
        return self._pool

    async def changed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        for peer in self._peers:
            await peer.close()


# etcd.


class Etcd:
    """`concurrency.Mutex` of etcd's own Go client (client/v3/concurrency/mutex.go), in Python: each client a lease."""

    threaded = False

    def __init__(self, address: str) -> None:
        self._address = address

    async def open(self, stack: AsyncExitStack) -> None:
        self.pb, services = grpc.protos_and_services("bench/etcd.proto")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(self._address))
        self.kv, self._leases = services.KVStub(channel), services.LeaseStub(channel)
        self.watcher = EtcdWatcher(services.WatchStub(channel), self.pb)
        following = asyncio.create_task(self.watcher.follow())
        stack.callback(following.cancel)

    async def client(self, _stack: AsyncExitStack, _number: int) -> Client:
        granted = await self._leases.LeaseGrant(self.pb.LeaseGrantRequest(TTL=LEASE_S))
        return EtcdClient(self, granted.ID)


class EtcdWatcher:
    """All watches over one stream, as the Go client has it."""

    def __init__(self, stub: Any, pb: Any) -> None:
        self._stub = stub
        self._pb = pb
        self._requests: asyncio.Queue[Any] = asyncio.Queue()
        self._deleted: dict[int, asyncio.Future[None]] = {}
        self._last_id = 0

    async def until_deleted(self, key: bytes, *, since: int) -> None:
        self._last_id += 1
        number, found = self._last_id, asyncio.get_running_loop().create_future()
        self._deleted[number] = found
        create = self._pb.WatchCreateRequest(key=key, start_revision=since, watch_id=number)
        self._requests.put_nowait(self._pb.WatchRequest(create_request=create))
        await found
        cancel = self._pb.WatchCancelRequest(watch_id=number)
        self._requests.put_nowait(self._pb.WatchRequest(cancel_request=cancel))

    async def follow(self) -> None:
        async for told in self._stub.Watch(self._asked()):
            if any(event.type == self._pb.Event.DELETE for event in told.events):
                found = self._deleted.pop(told.watch_id, None)
                if found is not None:
                    found.set_result(None)

    async def _asked(self) -> AsyncIterator[Any]:
        while True:
            yield await self._requests.get()


class EtcdClient:
    def __init__(self, etcd: Etcd, lease: int) -> None:
        self._pb, self._kv, self._watcher = etcd.pb, etcd.kv, etcd.watcher
        self._lease = lease

    async def acquire(self, name: str) -> int | None:
        pb, prefix = self._pb, f"{name}/".encode()
        self._key = prefix + f"{self._lease:x}".encode()
        first = pb.RangeRequest(
            key=prefix, range_end=_end_of(prefix), sort_order="ASCEND", sort_target="CREATE", limit=1
        )
        owner = pb.RequestOp(request_range=first)
        put = pb.RequestOp(request_put=pb.PutRequest(key=self._key, lease=self._lease))
        get = pb.RequestOp(request_range=pb.RangeRequest(key=self._key))
        absent = pb.Compare(result="EQUAL", target="CREATE", key=self._key, create_revision=0)
        answer = await self._kv.Txn(pb.TxnRequest(compare=[absent], success=[put, owner], failure=[get, owner]))
        assert answer.succeeded
        revision: int = answer.header.revision
        holders = answer.responses[1].response_range.kvs
        if holders and holders[0].create_revision != revision:
            await self._wait(prefix, revision - 1)
        # Not promised by the recipe, but what its documentation says may serve as a token.
        return revision

    async def _wait(self, prefix: bytes, before: int) -> None:
        """Wait until nobody stands before (`waitDeletes` in client/v3/concurrency/key.go)."""
        last = self._pb.RangeRequest(
            key=prefix,
            range_end=_end_of(prefix),
            sort_order="DESCEND",
            sort_target="CREATE",
            limit=1,
            max_create_revision=before,
        )
        while (answer := await self._kv.Range(last)).kvs:
            await self._watcher.until_deleted(answer.kvs[0].key, since=answer.header.revision)

    async def release(self) -> None:
        await self._kv.DeleteRange(self._pb.DeleteRangeRequest(key=self._key))


def _end_of(prefix: bytes) -> bytes:
    return prefix[:-1] + bytes([prefix[-1] + 1])


# ZooKeeper.


class ZooKeeper:
    """kazoo's recipe `Lock`, which blocks: each client a thread, all in one session."""

    threaded = True

    def __init__(self, address: str) -> None:
        self._address = address

    async def open(self, stack: AsyncExitStack) -> None:
        self._session = KazooClient(hosts=self._address, timeout=30)
        await asyncio.to_thread(self._session.start)
        stack.callback(self._session.stop)

    async def client(self, _stack: AsyncExitStack, _number: int) -> Client:
        return ZooKeeperClient(self._session)


class ZooKeeperClient:
    def __init__(self, session: KazooClient) -> None:
        self._session = session
        self._lock = KazooLock(session, "")

    async def acquire(self, name: str) -> int | None:
        if self._lock.path != f"/{name}":
            self._lock = KazooLock(self._session, f"/{name}")
        self._lock.acquire()
        return None

    async def release(self) -> None:
        self._lock.release()


# Valkey.


class Valkey:
    """redis-py's `Lock`: SET NX with a random value, given back by a script that compares it; waits by asking again."""

    threaded = False

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self, stack: AsyncExitStack) -> None:
        self._valkey = await stack.enter_async_context(redis.asyncio.Redis.from_url(self._url))

    async def client(self, _stack: AsyncExitStack, _number: int) -> Client:
        return ValkeyClient(self._valkey)


class ValkeyClient:
    def __init__(self, valkey: "redis.asyncio.Redis[bytes]") -> None:
        self._valkey = valkey

    async def acquire(self, name: str) -> int | None:
        self._lock = RedisLock(self._valkey, name, timeout=LEASE_S)
        assert await self._lock.acquire()
        return None

    async def release(self) -> None:
        await self._lock.release()


_RECIPES: dict[str, Any] = {
    "switchyard": Switchyard,
    "switchyard hold": SwitchyardHold,
    "etcd": Etcd,
    "zookeeper": ZooKeeper,
    "valkey": Valkey,
}


def make(recipe: str, **told: Any) -> Recipe:
    """A recipe by its name, and where its servers are."""
    made: Recipe = _RECIPES[recipe](**told)
    return made
