"""Databases, roles and migrations.

A service has one database and three roles, all named `switchyard_<service>`: the login role of its processes, `_owner`
which owns the tables and runs migrations, and `_relay` which may see every tenant's outbox rows, replace ciphertexts,
and nothing else. The login role owns nothing and cannot bypass row-level security, which is forced even on the owner.
"""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from alembic import command, op
from alembic.config import Config

ROOT = Path(__file__).resolve().parent.parent
_TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
_PLATFORM = "'00000000-0000-0000-0000-000000000000'::uuid"


def database(service: str) -> str:
    """The name of a service's database and of its login role."""
    return f"switchyard_{service}"


def url_of(admin_url: str, name: str) -> str:
    """The administrator's URL of another database."""
    return urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}"))


async def provision(admin_url: str, service: str, password: str, *, database_name: str | None = None) -> None:
    """Create a service's roles and database where they are missing, and set the login role's password."""
    name = database(service)
    connection = await asyncpg.connect(admin_url)
    try:
        for role, options in ((name, "LOGIN"), (f"{name}_owner", "NOLOGIN"), (f"{name}_relay", "NOLOGIN")):
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f'CREATE ROLE "{role}" {options} NOSUPERUSER NOBYPASSRLS')
        quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
        await connection.execute(f'ALTER ROLE "{name}" PASSWORD {quoted}')
        # The relay is a hat that the process puts on for one connection, never by inheritance.
        await connection.execute(f'GRANT "{name}_relay" TO "{name}" WITH INHERIT FALSE, SET TRUE')
        wanted = database_name or name
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", wanted):
            await connection.execute(f'CREATE DATABASE "{wanted}" OWNER "{name}_owner"')
            await connection.execute(f'REVOKE CONNECT ON DATABASE "{wanted}" FROM PUBLIC')
            await connection.execute(f'GRANT CONNECT ON DATABASE "{wanted}" TO "{name}"')
    finally:
        await connection.close()
    await _grant_defaults(url_of(admin_url, wanted), name)


async def _grant_defaults(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        # Extensions that the constraints need (exclusion over uuid and ranges, search by parts of words).
        for extension in ("btree_gist", "pg_trgm", "citext"):
            await connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
        await connection.execute(f'ALTER SCHEMA public OWNER TO "{name}_owner"')
        await connection.execute(f'GRANT USAGE ON SCHEMA public TO "{name}", "{name}_relay"')
        defaults = f'ALTER DEFAULT PRIVILEGES FOR ROLE "{name}_owner" IN SCHEMA public GRANT'
        await connection.execute(f'{defaults} SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{name}"')
        await connection.execute(f'{defaults} USAGE ON SEQUENCES TO "{name}"')
        await connection.execute(f'{defaults} EXECUTE ON FUNCTIONS TO "{name}"')
    finally:
        await connection.close()


def upgrade(admin_url: str, service: str, *, database_name: str | None = None) -> None:
    """Bring a service's tables, and the chassis's own in its database, to the newest version."""
    command.upgrade(configuration(admin_url, service, database_name=database_name), "heads")


def configuration(admin_url: str, service: str, *, database_name: str | None = None) -> Config:
    """Alembic's configuration for one service."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "chassis/migrations"))
    config.set_main_option("path_separator", "newline")
    locations = [ROOT / "chassis/migrations/versions", ROOT / "services" / service / "migrations"]
    config.set_main_option("version_locations", "\n".join(str(place) for place in locations if place.is_dir()))
    config.attributes["url"] = url_of(admin_url, database_name or database(service))
    config.attributes["role"] = f"{database(service)}_owner"
    return config


def role() -> str:
    """The login role of the service whose migration runs."""
    owner: str = op.get_context().config.attributes["role"]  # type: ignore[union-attr]
    return owner.removesuffix("_owner")


def isolate(table: str, *, column: str = "tenant_id", platform_sees_all: bool = False) -> None:
    """Force row-level security on a table: a row is seen and written by its own tenant only.

    `platform_sees_all` is for the few tables whose rows the platform's operators work on by explicit methods.
    """
    rule = f"{column} = {_TENANT}"
    if platform_sees_all:
        rule += f" OR {_TENANT} = {_PLATFORM}"
    op.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    op.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
    op.execute(f'CREATE POLICY tenant_isolation ON "{table}" USING ({rule}) WITH CHECK ({rule})')


def append_only(table: str, *, columns: Sequence[str] = ()) -> None:
    """Take UPDATE (but for `columns`) and DELETE on a table away from the service's processes."""
    op.execute(f'REVOKE UPDATE, DELETE, TRUNCATE ON "{table}" FROM "{role()}"')
    if columns:
        op.execute(f'GRANT UPDATE ({", ".join(columns)}) ON "{table}" TO "{role()}"')


def resealable(table: str, *, key: Sequence[str], columns: Sequence[str]) -> None:
    """Let sealed columns be sealed anew (`chassis.encryption`), whatever the tenant.

    The relay's role is given it: of a row it sees the key and the ciphertexts.
    """
    relay = f'"{role()}_relay"'
    op.execute(f'GRANT SELECT ({", ".join([*key, *columns])}), UPDATE ({", ".join(columns)}) ON "{table}" TO {relay}')
    op.execute(f'CREATE POLICY reseal ON "{table}" TO {relay} USING (true) WITH CHECK (true)')
