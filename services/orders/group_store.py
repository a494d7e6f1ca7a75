"""The queries of group orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.orders.group_models import GroupOrder, GroupParticipant

_tables: Any = (GroupOrder.__table__, GroupParticipant.__table__)
_groups, _participants = _tables
# Not a column's name: SQLAlchemy keeps those for what is written.
_id: Any = sa.bindparam("of_group")
# Neither a code nor an id that is taken is an error here: another code is tried, and the id is looked at.
_INSERT = postgresql.insert(_groups).on_conflict_do_nothing().returning(_groups.c.id)
_FIND = sa.select(GroupOrder).where(GroupOrder.id == _id)
_LOCK = _FIND.with_for_update()
_DUE = sa.text("SELECT tenant_id, id FROM due_group_orders(:at, :most)")
_INVITATION = sa.text("SELECT * FROM group_order_invitation(:code, :at)")
_TENANT_OF_CODE = sa.text("SELECT tenant_of_group_order_code(:code, :of_group)")
_TENANT_OF_PARTICIPANT = sa.text("SELECT tenant_of_participant(:of_group, :participant, :digest)")
# The one statement that decides whether somebody is still in time, and whether there is room: whoever locks or submits
# the group order waits for it, or is waited for and then found to have been first.
_MAKE_ROOM = (
    sa.update(_groups)
    .where(_groups.c.id == _id, _groups.c.status == "open", _groups.c.deadline > sa.bindparam("now"))
    .values(
        participant_count=_groups.c.participant_count + sa.bindparam("people"),
        line_count=_groups.c.line_count + sa.bindparam("more"),
        version=_groups.c.version + 1,
        updated_at=sa.bindparam("now"),
    )
    .returning(_groups.c.id)
)
_INSERT_PARTICIPANT = sa.insert(_participants)
_PARTICIPANT = sa.select(GroupParticipant).where(
    GroupParticipant.group_id == _id, GroupParticipant.id == sa.bindparam("participant")
)
_BY_TOKEN = sa.select(GroupParticipant).where(
    GroupParticipant.group_id == _id, GroupParticipant.token_digest == sa.bindparam("digest")
)
# By the time at which they joined: the order's lines stand in it.
_PARTICIPANTS = (
    sa.select(GroupParticipant)
    .where(GroupParticipant.group_id == _id)
    .order_by(GroupParticipant.joined_at, GroupParticipant.id)
)


async def insert(session: AsyncSession, group: Mapping[str, object]) -> bool:
    """Insert a group order; false when its id or its code is taken."""
    return await session.scalar(_INSERT, group) is not None


async def find(session: AsyncSession, group_id: UUID) -> GroupOrder | None:
    """A group order."""
    return await session.scalar(_FIND, {"of_group": group_id})


async def lock(session: AsyncSession, group_id: UUID) -> GroupOrder | None:
    """A group order, held until the transaction ends."""
    return await session.scalar(_LOCK, {"of_group": group_id})


async def read_again(session: AsyncSession, group_id: UUID) -> GroupOrder:
    """A group order as a statement has left it."""
    again = {"populate_existing": True}
    return (await session.scalars(_FIND, {"of_group": group_id}, execution_options=again)).one()


async def due(session: AsyncSession, *, at: datetime, most: int) -> list[tuple[UUID, UUID]]:
    """Tenant and id of the group orders, of all tenants, whose deadline has passed or whose order has ended."""
    return [(row.tenant_id, row.id) for row in await session.execute(_DUE, {"at": at, "most": most})]


async def invitation(session: AsyncSession, code: str, *, at: datetime) -> Any:
    """What whoever shows a code may know of its group order, whichever tenant's it is; nothing for any other code."""
    return (await session.execute(_INVITATION, {"code": code, "at": at})).first()


async def tenant_of_code(session: AsyncSession, code: str, group_id: UUID) -> UUID | None:
    """Whose a group order is, for somebody who shows its code."""
    found: UUID | None = await session.scalar(_TENANT_OF_CODE, {"code": code, "of_group": group_id})
    return found


async def tenant_of_participant(
    session: AsyncSession, group_id: UUID, participant_id: UUID, digest: bytes
) -> UUID | None:
    """Whose a group order is, for somebody who shows a participant's token."""
    told = {"of_group": group_id, "participant": participant_id, "digest": digest}
    found: UUID | None = await session.scalar(_TENANT_OF_PARTICIPANT, told)
    return found


async def make_room(session: AsyncSession, group_id: UUID, *, people: int, lines: int, now: datetime) -> bool:
    """Count people and lines in or out of an open group order, and hold it; false when it is not open any more."""
    told = {"of_group": group_id, "people": people, "more": lines, "now": now}
    return await session.scalar(_MAKE_ROOM, told) is not None


async def add_participant(session: AsyncSession, participant: Mapping[str, object]) -> None:
    """Insert somebody who joined."""
    await session.execute(_INSERT_PARTICIPANT, participant)


async def participant(session: AsyncSession, group_id: UUID, participant_id: UUID) -> GroupParticipant | None:
    """Somebody who joined."""
    return await session.scalar(_PARTICIPANT, {"of_group": group_id, "participant": participant_id})


async def by_token(session: AsyncSession, group_id: UUID, digest: bytes) -> GroupParticipant | None:
    """Whoever joined with a token."""
    return await session.scalar(_BY_TOKEN, {"of_group": group_id, "digest": digest})


async def participants(session: AsyncSession, group_id: UUID) -> Sequence[GroupParticipant]:
    """Everybody who joined, the first one first."""
    return (await session.scalars(_PARTICIPANTS, {"of_group": group_id})).all()
