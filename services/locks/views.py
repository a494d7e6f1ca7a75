"""Documents of locks as the contract shows them."""

from uuid import UUID

from switchyard.locks.v1 import locks_pb2 as pb
from switchyard.locks.v1.stored_pb2 import StoredLease

from services.locks import documents
from services.locks.documents import Document
from services.locks.locks import Ended


def lease(name: str, lease_id: bytes, stored: StoredLease) -> pb.Lease:
    """A lease as the holder sees it who asked for it by this id."""
    return pb.Lease(
        acquired=True,
        lock_id=str(UUID(bytes=lease_id)),
        fencing_token=stored.token,
        expires_at=stored.expires_at,
        lock_name=name,
        mode=stored.mode,
        holds=len(stored.holds),
        timeout=stored.timeout,
    )


def lost(ended: Ended) -> pb.Lost:
    """What has become of a lease."""
    return pb.Lost(reason=ended.reason, comment=ended.comment, by=ended.by)


def lock(document: Document) -> pb.Lock:
    """A lock as everybody sees it who may."""
    stored = document.lock
    shown = pb.Lock(
        name=documents.name_of(document.key),
        held=bool(stored.leases),
        fencing_token=stored.last_token,
        permits=stored.permits,
        holders=[_holder(each) for each in stored.leases],
        waiters=[
            pb.Waiter(holder=each.holder, owner=each.owner, mode=each.mode, since=each.since) for each in stored.waiters
        ],
    )
    if stored.leases:
        shown.holder = stored.leases[0].holder
        shown.acquired_at.CopyFrom(stored.leases[0].acquired_at)
        ends = min((each.expires_at for each in stored.leases), key=lambda ends: (ends.seconds, ends.nanos))
        shown.expires_at.CopyFrom(ends)
    return shown


def _holder(stored: StoredLease) -> pb.Holder:
    return pb.Holder(
        holder=stored.holder,
        owner=stored.owner,
        mode=stored.mode,
        fencing_token=stored.token,
        acquired_at=stored.acquired_at,
        expires_at=stored.expires_at,
        holds=len(stored.holds),
    )
