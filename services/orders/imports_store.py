"""The statements that bring in orders of the past: a handful a call, however many orders and lines it has."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

# By column: its type, and a value for each row.
Columns = Mapping[str, tuple[str, Sequence[object]]]
# By column: its type, and the value of all rows.
Same = Mapping[str, tuple[str, object]]

# In the order of their ids, so that two calls with the same orders wait for each other and do not block each other.
_AGAIN = "ORDER BY id ON CONFLICT DO NOTHING RETURNING id"
_KNOWN = sa.text("SELECT id, fingerprint FROM orders WHERE id = ANY(:ids)").bindparams(
    sa.bindparam("ids", type_=postgresql.ARRAY(sa.Uuid))
)


async def insert_orders(session: AsyncSession, columns: Columns, same: Same) -> set[UUID]:
    """Insert orders, column by column, and what is the same for all; the ids of those that were not there."""
    return set(await session.scalars(*_insert("orders", columns, same, _AGAIN)))


async def insert(session: AsyncSession, table: str, columns: Columns, same: Same) -> None:
    """Insert rows, column by column, and what is the same for all."""
    await session.execute(*_insert(table, columns, same))


async def fingerprints(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, bytes]:
    """What the orders of some ids are."""
    return {row.id: bytes(row.fingerprint) for row in await session.execute(_KNOWN, {"ids": list(ids)})}


def _insert(table: str, columns: Columns, same: Same, rest: str = "") -> tuple[Any, dict[str, object]]:
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, (kind, _) in columns.items())
    values = [*columns, *(f"CAST(:{name} AS {kind})" for name, (kind, _) in same.items())]
    # The names are those of our own tables and columns; values are parameters.
    sql = (
        f"INSERT INTO {table} ({', '.join([*columns, *same])}) SELECT {', '.join(values)} "  # noqa: S608
        f"FROM unnest({arrays}) AS rows ({', '.join(columns)}) {rest}"
    )
    given = {name: list(each) for name, (_, each) in columns.items()}
    return sa.text(sql), {**given, **{name: value for name, (_, value) in same.items()}}
