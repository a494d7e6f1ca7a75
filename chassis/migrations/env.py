"""The one Alembic environment: every service's migrations run as the owner of its tables, in one transaction."""

import asyncio

import sqlalchemy as sa
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


def _migrate(connection: sa.Connection) -> None:
    connection.execute(sa.text(f'SET ROLE "{context.config.attributes["role"]}"'))
    # Two processes that migrate at once take turns.
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(70002)"))
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


async def _run() -> None:
    url: str = context.config.attributes["url"]
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


asyncio.run(_run())
