"""The monolith's life: its database filled with the same world, its process, its tokens."""

import os
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy.ext.asyncio import create_async_engine

from bench.monolith.models import Base, Batch, Item, MenuItem, RecipeLine
from bench.world import EXPIRES_AT, PRICE, STOCK, World
from chassis import embedded, processes

DATABASE = ROLE = "bench_monolith"
PASSWORD = "bench"
TOKEN_LIFE_S = 3600
_ROOT = Path(__file__).resolve().parents[1]
_TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


class Monolith:
    """The running monolith."""

    def __init__(self, port: int, child: processes.Child, token: str) -> None:
        self.port = port
        self.token = token
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.pid

    async def stop(self) -> None:
        await self._child.stop(signal.SIGTERM)


async def start(admin_url: str, valkey_url: str, world: World) -> Monolith:
    """Make and fill its database, and start it. It serves a moment later."""
    admin = await asyncpg.connect(admin_url)
    try:
        await admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}' NOSUPERUSER NOBYPASSRLS")
        await admin.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await admin.close()
    await _fill(_url(admin_url), world)
    port = embedded.free_ports(1)[0]
    key = RSAKey.generate_key(2048)
    told = {
        "MONOLITH_PORT": str(port),
        "MONOLITH_DATABASE_URL": _url(admin_url, f"{ROLE}:{PASSWORD}"),
        "MONOLITH_VALKEY_URL": valkey_url,
        "MONOLITH_PUBLIC_KEY": key.as_pem(private=False).decode(),
    }
    child = await processes.spawn(
        [sys.executable, "-m", "bench.monolith"],
        on_line=lambda line: sys.stderr.write(f"monolith: {line}\n"),
        death_signal=signal.SIGTERM,
        env=os.environ | told,
        cwd=_ROOT,
    )
    return Monolith(port, child, _token(key, world.tenant_id))


def _url(admin_url: str, user: str = "") -> str:
    admin = urlsplit(admin_url)
    netloc = f"{user}@{admin.netloc.rpartition('@')[2]}" if user else admin.netloc
    return urlunsplit(admin._replace(scheme="postgresql+asyncpg", netloc=netloc, path=f"/{DATABASE}"))


def _token(key: RSAKey, tenant_id: str) -> str:
    now = int(time.time())
    claims = {
        "iss": "monolith",
        "aud": "monolith",
        "sub": "0192aaaa-0000-7000-8000-000000000001",
        "tenants": [tenant_id],
        "permissions": ["inventory.items.read", "orders.create"],
        "iat": now,
        "exp": now + TOKEN_LIFE_S,
    }
    return jwt.encode({"alg": "RS256"}, claims, key, algorithms=["RS256"])


async def _fill(url: str, world: World) -> None:
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        for table in Base.metadata.tables:
            for statement in (
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
                f"CREATE POLICY tenant ON {table} USING (tenant_id = {_TENANT}) WITH CHECK (tenant_id = {_TENANT})",
                f"GRANT SELECT, INSERT, UPDATE ON {table} TO {ROLE}",
            ):
                await connection.execute(sa.text(statement))
        for table_class, rows in _rows(world):
            await connection.execute(sa.insert(table_class), rows)
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(sa.text("VACUUM ANALYZE"))
    await engine.dispose()


def _rows(world: World) -> list[tuple[type[Base], list[dict[str, Any]]]]:
    """The world's rows, with the ids that Switchyard gave."""
    tenant = {"tenant_id": UUID(world.tenant_id)}
    expires_at = datetime.fromisoformat(EXPIRES_AT)
    # In the order of entry, so that the same are the newest.
    everything = {**world.sold, **world.items}
    items = [
        {**tenant, "id": UUID(item_id), **_known(item), "created_at": moment, "updated_at": moment}
        for item_id, item, moment in zip(everything, everything.values(), _moments(), strict=False)
    ]
    batches = [
        {**tenant, "item_id": item["id"], "site_id": UUID(site), "lot": "BENCH", "expires_at": expires_at}
        | {"on_hand": STOCK if str(item["id"]) in world.sold else everything[str(item["id"])]["on_hand"] // 2}
        for item in items
        for site in world.site_ids
    ]
    menu = [
        {**tenant, "id": UUID(menu_id), "name": f"Cup of {everything[item_id]['sku']}", **PRICE}
        for menu_id, item_id in world.menu.items()
    ]
    recipes = [
        {**tenant, "menu_item_id": UUID(menu_id), "item_id": UUID(item_id), "quantity": 1}
        for menu_id, item_id in world.menu.items()
    ]
    return [(Item, items), (Batch, batches), (MenuItem, menu), (RecipeLine, recipes)]


def _known(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name != "on_hand"}


def _moments() -> Any:
    now = time.time()
    return (datetime.fromtimestamp(now + number * 1e-3, UTC) for number in range(1_000_000))
