"""Sessions with a tenant.

A transaction is opened for the current call (or for a principal given to it), tells PostgreSQL the tenant, and hands
out an SQLAlchemy session. Row-level security is forced on every table, so that without a tenant nothing is seen. At the
end the events and the one audit event of the call are written, and then all of it is committed as one.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from chassis import audit, call, errors, events, faults
from chassis.identity import Principal

# What is told about a violated constraint that nobody translated: the database holds the rule, the heart explains it.
_UNIQUE_VIOLATION = "23505"
# PostgreSQL stores every character but NUL.
_NOT_A_CHARACTER = "22021"
# The other one gives way; the caller may simply try again.
_RETRYABLE = frozenset({"40001", "40P01", "55P03"})
# The last is a fenced transaction that was silent for too long.
_CONNECTION_LOST = ("08", "57P0", "25P03")
# What the driver raises; its internal error is what a call meets when its connection breaks at the wrong moment.
_FAILURES = (
    DBAPIError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_POSITION = re.compile(r"\$(\d+)")


class Database:
    """One service's database: transactions with a tenant, and the fast way to read."""

    def __init__(self, service: str, url: str, *, pool: int = 10) -> None:
        self.service = service
        self._url = url
        self._pool_size = pool
        self._engine = create_async_engine(
            _with_driver(url),
            pool_size=pool,
            max_overflow=pool,
            pool_pre_ping=False,
            # A failed statement is logged; what it was given (hashes, addresses) is not.
            hide_parameters=True,
            pool_recycle=1800,
            connect_args={"server_settings": {"application_name": service}, "timeout": 5.0},
        )
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)
        self._raw: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        # Set when a transaction with events has committed: the relay in this process need not wait for its poll.
        self.committed = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, principal: Principal | None = None) -> AsyncIterator[AsyncSession]:
        """A session in a transaction of the current call's tenant, or of `principal`'s.

        Commits at the end and rolls back on any exception. Raises `errors.Unavailable` when the database is away.
        """
        acting = principal or call.current().principal
        try:
            async with self._sessions() as session:
                await session.begin()
                await session.execute(_SET_TENANT, {"tenant": str(acting.tenant)})
                events.begin(session, self.service, acting)
                yield session
                await session.flush()
                await audit.write(session)
                published = await events.write(session)
                faults.point("commit.before")
                await session.commit()
                faults.point("commit.after")
        except _FAILURES as failure:
            raise _translated(failure) from failure
        if published:
            self.committed.set()

    async def read(self, query: "Query", tenant: UUID, **parameters: object) -> list[asyncpg.Record]:
        """The rows of a prepared `Query` under the row-level security of `tenant`, in one round trip.

        Raises `errors.Unavailable` when the database is away.
        """
        pool = self._raw or await self._open()
        try:
            async with pool.acquire() as connection:
                rows: list[asyncpg.Record] = await connection.fetch(query.sql, str(tenant), *query.bind(parameters))
                return rows
        except _FAILURES as failure:
            raise _translated(failure) from failure

    async def ready(self) -> bool:
        """Whether the database answers."""
        try:
            async with self._engine.connect() as connection:
                await connection.execute(sa.text("SELECT 1"))
        except (DBAPIError, OSError, asyncpg.PostgresError):
            return False
        return True

    async def connect(self) -> asyncpg.Connection:
        """A connection of its own, outside the pools; the caller closes it."""
        connection: asyncpg.Connection = await asyncpg.connect(self._url, timeout=5)
        return connection

    async def close(self) -> None:
        """Close all connections."""
        if self._raw is not None:
            await self._raw.close()
        await self._engine.dispose()

    async def _open(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._raw is None:
                # Reads leave nothing behind in a session (the tenant is set for the one implicit transaction), so the
                # pool's reset, five round trips each time, has nothing to do.
                self._raw = await asyncpg.create_pool(
                    self._url, min_size=1, max_size=self._pool_size, reset=_nothing_to_reset, timeout=5
                )
            return self._raw


class Query:
    """A select, written with SQLAlchemy, compiled once and run on asyncpg (an eighth of the ORM's cost a read).

    The tenant is set and the rows are read in one statement: the select becomes the inner side of a lateral join whose
    outer side sets the tenant. It must carry a literal `LIMIT`, which keeps PostgreSQL from reordering the two (if it
    did, row-level security would show nothing, never another tenant's rows).
    """

    def __init__(self, select: "sa.Select[Any]") -> None:
        dialect = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
        compiled = select.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        if select._limit_clause is None:  # noqa: SLF001 - SQLAlchemy has no public way to ask
            message = "a hot query needs a literal LIMIT"
            raise ValueError(message)
        names: Sequence[str] = compiled.positiontup or ()
        literals = compiled.params
        self._names = tuple(names)
        self._defaults = {name: literals[name] for name in names}
        # The tenant is the first argument. All numbers move at once: one by one, `$1` would be found again in `$10`.
        sql = _POSITION.sub(lambda found: f"${int(found[1]) + 1}", str(compiled))
        self.sql = (
            "WITH tenant AS MATERIALIZED (SELECT set_config('app.tenant_id', $1, true) AS id) "  # noqa: S608
            f"SELECT hot.* FROM tenant CROSS JOIN LATERAL (SELECT tenant.id AS _tenant, inner_.* FROM ({sql}) inner_ "
            "OFFSET 0) hot"
        )

    def bind(self, parameters: dict[str, object]) -> list[object]:
        """The positional arguments after the tenant."""
        return [parameters.get(name, self._defaults[name]) for name in self._names]


_SET_TENANT = sa.text("SELECT set_config('app.tenant_id', :tenant, true)")


async def _nothing_to_reset(_connection: object) -> None:
    return


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


def _translated(failure: BaseException) -> errors.Error:
    original = failure.orig if isinstance(failure, DBAPIError) else failure
    state: str = getattr(original, "sqlstate", None) or getattr(original, "pgcode", None) or ""
    if state == _UNIQUE_VIOLATION:
        return errors.AlreadyExists()
    if state == _NOT_A_CHARACTER:
        return errors.Invalid("a text contains a NUL character")
    if state in _RETRYABLE:
        return errors.Conflict(
            "the same thing was changed at the same time; try again", code="CONTENTION", retry_after_s=0.1
        )
    if isinstance(original, OSError) or state.startswith(_CONNECTION_LOST) or not state:
        return errors.Unavailable(retry_after_s=1)
    raise failure


def driver(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection of a session's transaction, for statements of a hot path that changes rows.

    What the session itself has to write is flushed before, by the caller. Errors are translated as the session's are.
    """
    connection: Any = session.sync_session.connection().connection.driver_connection
    return cast("asyncpg.Connection", connection)


@asynccontextmanager
async def attempt(session: AsyncSession) -> AsyncIterator[None]:
    """A part of a transaction that is undone alone when it raises: its rows, its events, what the trail is told of it.

    For calls that do many things of which some may fail. What is raised is raised on, translated as a transaction's.
    """
    undo_audit, undo_events = audit.mark(session), events.mark(session)
    try:
        async with session.begin_nested():
            yield
    except BaseException as failure:
        undo_audit()
        undo_events()
        if isinstance(failure, _FAILURES):
            raise _translated(failure) from failure
        raise


def violated(failure: DBAPIError) -> str:
    """The name of the constraint that a statement violated; empty if it failed otherwise."""
    cause = getattr(failure.orig, "__cause__", None)
    return getattr(cause, "constraint_name", None) or ""
