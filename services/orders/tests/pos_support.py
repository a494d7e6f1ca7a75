"""A point of sale on a real port that does as it is told, and a shop that is connected to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import uvicorn
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook
from switchyard.orders.v1 import events_pb2, orders_pb2, pos_pb2, pos_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import clock, embedded, resealing
from chassis.identity import Principal
from chassis.service import Service
from services.orders import events
from services.orders.models import Base
from services.orders.pos_addresses import Guard
from services.orders.post import Post
from services.orders.rpc.counter import Counter
from services.orders.rpc.pos import PosRpc

HERE = Guard(http=True, private=True)


@dataclass
class Answer:
    """What the POS answers, after a while."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    # Answered only when this is set.
    when: asyncio.Event | None = None


@dataclass
class Heard:
    """A request that came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        told: str = orjson.loads(self.body)["type"]
        return told


class PointOfSale:
    """Answers one after the other, the last one for ever."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/in?key=of-the-pos"
        self.answers: list[Answer] = [Answer()]
        self.heard: list[Heard] = []
        self.came = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        body = b""
        while (piece := await receive())["type"] == "http.request":
            body += piece.get("body", b"")
            if not piece.get("more_body"):
                break
        self.heard.append(Heard({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        self.came.set()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer.when is not None:
            await answer.when.wait()
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    def verified(self, secret: str) -> list[Any]:
        """What was heard, after its signature."""
        return [Webhook(secret).verify(one.body, one.headers) for one in self.heard]


@asynccontextmanager
async def point_of_sale() -> AsyncIterator[PointOfSale]:
    port = embedded.free_ports(1)[0]
    app = PointOfSale(port)
    config = uvicorn.Config(app, port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield app
    server.should_exit = True
    await serving


@dataclass
class Connected:
    """A shop with a post that sends when it is told to."""

    shop: Any
    post: Post
    till: PointOfSale

    def __post_init__(self) -> None:
        granted = frozenset({"orders.pos.confirm", "orders.read", "inventory.catalog.read"})
        sites = frozenset({self.shop.site})
        self.pos = Principal("pos", str(uuid7()), self.shop.tenant.id, "", ("pos",), granted, sites)
        self.admin = self.shop.tenant.user()

    def stub(self, principal: Principal | None = None, **told: str) -> Any:
        channel: Any = self.shop.running.channel(principal or self.admin, **told)
        return pos_pb2_grpc.PosServiceStub(channel)

    async def connect(self, *, told: dict[str, str] | None = None, **more: Any) -> pos_pb2.PosConnection:
        wanted = {"site_id": self.shop.site, "url": self.till.url, **more}
        made: pos_pb2.PosConnection = await self.stub(None, **(told or {})).PutPosConnection(
            pos_pb2.PutPosConnectionRequest(**wanted)
        )
        return made

    async def confirm(self, order_id: str, reference: str = "", *, status: Any = 1, by: Principal | None = None) -> Any:
        request = pos_pb2.ConfirmPosOrderRequest(id=order_id, status=status, reference=reference)
        return await self.stub(by or self.pos).ConfirmPosOrder(request)

    async def forward(self, order_id: str, by: Principal | None = None) -> orders_pb2.Order:
        order: orders_pb2.Order = await self.stub(by).ForwardOrder(pos_pb2.ForwardOrderRequest(id=order_id))
        return order

    async def told(self, order: orders_pb2.Order) -> None:
        """What the order's event leads to when it comes back."""
        async with self.shop.running.service.database.transaction(self.shop.tenant.service("orders")) as session:
            if order.status == orders_pb2.ORDER_STATUS_CANCELLED:
                await events.on_order_status_changed(events_pb2.OrderStatusChanged(order=order), session)
            else:
                await events.on_order_placed(events_pb2.OrderPlaced(order=order), session)

    async def placed(self, **more: Any) -> str:
        """An order that is to be sent."""
        order = await self.shop.place(**more)
        await self.told(order)
        return str(order.id)

    async def cancelled(self, order_id: str) -> None:
        await self.told(await self.shop.patch(order_id, status=orders_pb2.ORDER_STATUS_CANCELLED))

    async def send(self, after: timedelta = timedelta()) -> None:
        """One round of the post."""
        with clock.shifted(after):
            await self.post.send()
            await self.post.landed()

    async def status(self, order_id: str) -> tuple[str, str]:
        order = await self.shop.get(order_id)
        return orders_pb2.PosStatus.Name(order.pos_status).removeprefix("POS_STATUS_").lower(), order.pos_reference

    async def forwards(self, order_id: str) -> dict[str, tuple[str, int, str]]:
        sql = "SELECT kind, state, tries, error FROM forwards WHERE order_id = $1"
        rows = await self.shop.rows(sql, UUID(order_id))
        return {row["kind"]: (row["state"], row["tries"], row["error"]) for row in rows}


class Building:
    """Adds the point of sale to a shop as it is put together."""

    def __init__(self, *, handles: bool = False) -> None:
        self._handles = handles
        self.post: Any = None

    def __call__(self, service: Service, _counter: Counter, _sagas: object) -> None:
        master = SecretStr("a master key for tests")
        vault = resealing.vault(service, Base, master=master, previous=SecretStr(""))
        service.serve(PosRpc(vault, HERE, service.sites()))
        self.post = Post(service.database, vault, HERE)
        if self._handles:
            service.handle(events.HANDLERS)
