"""`Idempotency-Key`: the stored answer of a call, committed with its effect.

The key is inserted in the transaction of the effect, so that a crash cannot separate the two. The same key, principal
and payload gets the same answer again; another payload is refused; a call that is still running is told to wait.
"""

import hashlib

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import call, errors, policy

KEY_LENGTH_MAX = 255
REPLAYED = "idempotency-replayed"

_BEGIN = sa.text(
    "INSERT INTO idempotency_keys (tenant_id, principal, method, key, fingerprint) "
    "VALUES (:tenant, :principal, :method, :key, :fingerprint) ON CONFLICT DO NOTHING RETURNING 1"
)
_LOCK = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_FIND = sa.text(
    "SELECT fingerprint, answer FROM idempotency_keys "
    "WHERE tenant_id = :tenant AND principal = :principal AND method = :method AND key = :key"
)
_STORE = sa.text(
    "UPDATE idempotency_keys SET answer = :answer "
    "WHERE tenant_id = :tenant AND principal = :principal AND method = :method AND key = :key"
)


def fingerprint(request: Message) -> bytes:
    """What must be equal for two requests to be the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


async def begin(session: AsyncSession) -> bytes | None:
    """Claim the current call's key. The stored answer when there is one already, else `None`.

    Raises `FailedPrecondition` (`IDEMPOTENCY_KEY_REUSED`) for another payload, `Conflict`
    (`IDEMPOTENCY_KEY_IN_USE`) while the first call is still running.
    """
    current = call.current()
    names = _names(current)
    lock = f"{names['tenant']}/{names['principal']}/{names['method']}/{names['key']}"
    if not await session.scalar(_LOCK, {"name": lock}):
        message = "a request with this Idempotency-Key is still running"
        raise errors.Conflict(message, code="IDEMPOTENCY_KEY_IN_USE", retry_after_s=1)
    if await session.scalar(_BEGIN, {**names, "fingerprint": current.fingerprint}):
        return None
    stored, answer = (await session.execute(_FIND, names)).one()
    if stored != current.fingerprint:
        message = "this Idempotency-Key was used with another payload"
        raise errors.FailedPrecondition(message, code="IDEMPOTENCY_KEY_REUSED")
    current.trailers[REPLAYED] = "true"
    return bytes(answer)


async def store(session: AsyncSession, answer: Message) -> None:
    """Keep the answer with the effect, but for the secrets in it: those are shown once."""
    kept = type(answer)()
    kept.CopyFrom(answer)
    policy.hide_sensitive(kept)
    await session.execute(_STORE, {**_names(call.current()), "answer": kept.SerializeToString()})


def _names(current: call.Call) -> dict[str, object]:
    principal = current.principal
    return {
        "tenant": principal.tenant,
        "principal": principal.name,
        "method": current.action,
        "key": current.idempotency_key,
    }
