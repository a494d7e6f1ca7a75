"""Sealing anew: after the encryption keys have rotated, every column of sealed values moves to the new key.

A column says what its values are about, in the words of its row's key, and its migration lets them be replaced:

    seed: Mapped[bytes] = mapped_column(info={"sensitive": True, "about": "totp/{user_id}"})
    migrate.resealable("totp_factors", key=["user_id"], columns=["seed"])

and `__main__` lets the process do it: `vault = resealing.vault(service, Base, master=..., previous=...)`.

The sweep remembers nothing: what is left is what bears an older generation. It may be interrupted anywhere and may run
in many processes at once.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase

from chassis import clock, encryption, identity, migrate
from chassis.db import Database
from chassis.encryption import GENERATION_BYTES, Vault
from chassis.service import Service

EVERY_S = 30.0
# Calls that sealed with the key before have ended by then, and what they wrote can be seen.
SETTLED = timedelta(seconds=30)
# Rows of one transaction: they are locked for some ten milliseconds.
BATCH = 100

log = structlog.get_logger()


@dataclass(frozen=True)
class Column:
    """A column of sealed values. `about` is a format in the words of the table's key."""

    table: sa.Table
    column: "sa.Column[Any]"
    about: str


def columns(base: type[DeclarativeBase]) -> list[Column]:
    """The columns of a service's models that say what they are about."""
    declared = (column for table in base.metadata.sorted_tables for column in table.columns if "about" in column.info)
    return [Column(column.table, column, column.info["about"]) for column in declared]


def vault(service: Service, base: type[DeclarativeBase], *, master: SecretStr, previous: SecretStr) -> Vault:
    """A process's vault, which follows the keys; what its service has sealed follows them too."""
    made = Vault(service.database, master=master, previous=previous)
    service.needs(made.loaded)
    service.background(made.run())
    service.every(EVERY_S, Sweep(service.database, made, base).run)
    return made


class Sweep:
    """Seals a service's values anew."""

    def __init__(self, database: Database, vault: Vault, base: type[DeclarativeBase]) -> None:
        self._database = database
        self._vault = vault
        self._columns = columns(base)

    async def run(self) -> None:
        """Seal anew what older generations sealed, and retire them when nothing is left."""
        if not await self._vault.loaded():
            return
        current = self._vault.current
        unretired = any(each.retired_at is None for each in self._vault.generations if each.number < current.number)
        if not unretired or clock.now() < current.used_from + SETTLED:
            return
        left = [await self._column(column, current.number) for column in self._columns]
        if not any(left):
            await self._vault.retire(before=current.number)

    async def _column(self, column: Column, current: int) -> int:
        """How many values were left."""
        left = 0
        keys = list(column.table.primary_key.columns)
        older = sa.func.substr(column.column, 1, GENERATION_BYTES) < current.to_bytes(GENERATION_BYTES, "big")
        selected = sa.select(*keys, column.column.label("sealed")).where(older).order_by(*keys).limit(BATCH)
        after: Sequence[Any] = ()
        while True:
            following = sa.tuple_(*keys) > sa.tuple_(*after) if after else sa.true()
            async with self._transaction() as session:
                rows = (await session.execute(selected.where(following))).all()
                renewed = [await self._value(session, column, row) for row in rows]
            left += renewed.count(False)
            if len(rows) < BATCH:
                return left
            after = rows[-1][:-1]

    async def _value(self, session: AsyncSession, column: Column, row: Any) -> bool:
        """Whether the value was replaced: not if somebody has written another meanwhile, or if it does not open."""
        key = {name: value for name, value in row._mapping.items() if name != "sealed"}  # noqa: SLF001 - its public name
        about = column.about.format(**key)
        try:
            sealed = self._vault.seal(self._vault.open(row.sealed, about), about)
        except encryption.Unreadable:
            log.exception("sealed_value_unreadable", table=column.table.name, column=column.column.name, about=about)
            return False
        same = [column.table.c[name] == value for name, value in key.items()]
        statement = sa.update(column.table).where(*same, column.column == row.sealed).values({column.column: sealed})
        result: Any = await session.execute(statement)
        return bool(result.rowcount)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncSession]:
        service = self._database.service
        async with self._database.transaction(identity.service_principal(service, None)) as session:
            # The role that sees ciphertexts of every tenant, and nothing else of their rows.
            await session.execute(sa.text(f"SET LOCAL ROLE {migrate.database(service)}_relay"))
            yield session
