"""The routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import redis.asyncio
from fastapi import Depends, FastAPI, Query, Response
from joserfc.jwk import RSAKey
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from uuid_utils.compat import uuid7

from bench.monolith import items, orders
from bench.monolith.deps import GCRA, Principal, allowed, session
from bench.monolith.schemas import Answer, ItemOut, Meta, OrderIn, OrderOut
from bench.monolith.settings import Settings

# The transaction ends before the answer goes out: nobody is told of an order that is not committed.
Session = Annotated[AsyncSession, Depends(session, scope="function")]
Reader = Annotated[Principal, Depends(allowed("inventory.items.read"))]
Orderer = Annotated[Principal, Depends(allowed("orders.create"))]


def create_app(settings: Settings) -> FastAPI:
    """The application; its connections live as long as it does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(settings.database_url, pool_size=settings.database_pool)
        valkey = redis.asyncio.from_url(settings.valkey_url)
        app.state.settings = settings
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.gcra = valkey.register_script(GCRA)
        app.state.key = RSAKey.import_key(settings.public_key)
        yield
        await valkey.aclose()
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.get("/api/v1/inventory/items")(list_items)
    app.get("/api/v1/inventory/items/{item_id}")(get_item)
    app.post("/api/v1/orders", status_code=201)(place_order)
    return app


def _meta(response: Response, next_cursor: str | None = None) -> Meta:
    request_id = str(uuid7())
    response.headers["X-Request-ID"] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    return Meta(request_id=request_id, next_cursor=next_cursor)


async def list_items(
    _reader: Reader,
    opened: Session,
    response: Response,
    page_size: Annotated[int, Query(ge=1)] = 25,
    cursor: str = "",
) -> Answer[list[ItemOut]]:
    found, next_cursor = await items.page(opened, min(page_size, 100), cursor)
    return Answer(data=found, meta=_meta(response, next_cursor))


async def get_item(_reader: Reader, opened: Session, response: Response, item_id: UUID) -> Answer[ItemOut]:
    item = await items.find(opened, item_id)
    response.headers["ETag"] = f'"{item.version}"'
    return Answer(data=item, meta=_meta(response))


async def place_order(orderer: Orderer, opened: Session, response: Response, wish: OrderIn) -> Answer[OrderOut]:
    order = await orders.place(opened, orderer, wish)
    response.headers["Location"] = f"/api/v1/orders/{order.id}"
    return Answer(data=order, meta=_meta(response))
