"""Joining a group order: whoever has its code does, without an account, as nobody in its tenant.

What they are given for it, the participant's token, is all that lets them change or withdraw what they want.
"""

import hashlib
import secrets
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.orders.v1 import groups_pb2
from uuid_utils.compat import uuid7

from chassis import audit, call, clock, db, errors
from services.orders import group_messages, group_store, groups
from services.orders.group_models import GroupParticipant

_TOKEN_BYTES = 32
_FULL = frozenset({"group_orders_participants", "group_orders_lines"})


def normalised(code: str) -> str:
    """A code as it is kept."""
    return code.strip().upper()


def digest(token: str) -> bytes:
    """A participant's token as it is kept."""
    return hashlib.sha256(token.encode()).digest()


async def join(session: AsyncSession, request: groups_pb2.JoinGroupOrderRequest) -> tuple[GroupParticipant, str]:
    """Let somebody in, with their token. Raises `Conflict` when it is too late or too full."""
    token = request.token or secrets.token_urlsafe(_TOKEN_BYTES)
    group_id, lines = UUID(request.id), [group_messages.kept(line) for line in request.lines]
    await _hold(session, group_id)
    known = await _same(session, group_id, digest(token), request) if request.token else None
    if known is not None:
        return known, token
    await _make_room(session, group_id, people=1, lines=len(lines))
    row = {
        "tenant_id": call.current().principal.tenant,
        "group_id": group_id,
        "id": uuid7(),
        "name": request.name,
        "lines": lines,
        "line_count": len(lines),
        "token_digest": digest(token),
        "joined_at": clock.now(),
    }
    await group_store.add_participant(session, row)
    told = {"name": request.name, "lines": lines}
    audit.changed(session, f"group_orders/{group_id}/participants/{row['id']}", after=told)
    await _tell(session, group_id)
    return GroupParticipant(**row), token


async def _same(
    session: AsyncSession, group_id: UUID, token: bytes, request: groups_pb2.JoinGroupOrderRequest
) -> GroupParticipant | None:
    """Whoever joined with this very call before. Raises `AlreadyExists` if it was another one."""
    known = await group_store.by_token(session, group_id, token)
    if known is None:
        return None
    if (known.name, known.lines) != (request.name, [group_messages.kept(line) for line in request.lines]):
        message = "somebody joined with this token, and wants something else"
        raise errors.AlreadyExists(message)
    return known


async def change(session: AsyncSession, request: groups_pb2.UpdateParticipationRequest) -> GroupParticipant:
    """Change what somebody wants, who has shown their token. Raises `NotFound`, or `Conflict` when it is too late."""
    group_id, participant_id = UUID(request.id), UUID(request.participant_id)
    lines = [group_messages.kept(line) for line in request.lines]
    await _hold(session, group_id)
    participant = await groups.participant_of(session, group_id, participant_id)
    if (participant.name, participant.lines) == (request.name, lines):
        return participant
    await _make_room(session, group_id, people=0, lines=len(lines) - participant.line_count)
    participant.name, participant.lines, participant.line_count = request.name, lines, len(lines)
    await session.flush()
    await _tell(session, group_id)
    return participant


async def withdraw(session: AsyncSession, group_id: UUID, participant_id: UUID) -> None:
    """Take somebody out, who has shown their token. Raises `NotFound`, or `Conflict` when it is too late."""
    await _hold(session, group_id)
    participant = await groups.participant_of(session, group_id, participant_id)
    await _make_room(session, group_id, people=-1, lines=-participant.line_count)
    await session.delete(participant)
    await session.flush()
    await _tell(session, group_id)


async def _hold(session: AsyncSession, group_id: UUID) -> None:
    """Let nobody else join or lock meanwhile, so that what is counted is what stands there."""
    if await group_store.lock(session, group_id) is None:
        raise errors.NotFound


async def _make_room(session: AsyncSession, group_id: UUID, *, people: int, lines: int) -> None:
    try:
        is_open = await group_store.make_room(session, group_id, people=people, lines=lines, now=clock.now())
    except IntegrityError as failure:
        if db.violated(failure) not in _FULL:
            raise
        message = "the group order is full"
        raise errors.Conflict(message, code="GROUP_ORDER_FULL") from failure
    if not is_open:
        raise groups.closed()


async def _tell(session: AsyncSession, group_id: UUID) -> None:
    groups.publish(session, await group_store.read_again(session, group_id))
