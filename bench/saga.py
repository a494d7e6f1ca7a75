"""Orders killed at every point: real processes, `kill -9` at each commit and call of the saga, as the code has them.

Beside a whole `switchyard up` further orders processes are started, one for each point, which kill themselves there
(`chassis.faults`) while a client tells one of the stories below. The points are those that a process passes to which
nothing happens. Whatever the dead leave is taken up by who lives; then the client comes back and tells its story to the
end. Then every order has ended, and what the provider has taken, what the books say, and the stock agree.
"""

import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
from rich.console import Console
from rich.table import Table
from switchyard.orders.v1 import lines_pb2, lines_pb2_grpc, orders_pb2, orders_pb2_grpc
from uuid_utils.compat import uuid7

from bench import report
from bench.load import WrongAnswer
from bench.suite import Suite
from chassis import embedded, migrate
from chassis.rpc import metadata
from cli import api, environment
from cli.environment import Backends, Layout
from cli.run_dir import ROOT, RunDir

# Processes that are started and die at a time.
AT_ONCE = 2
START_DEADLINE_S = 60
START_TRIES = 3
DEATH_DEADLINE_S, DEATH_TRIES = 5, 3
CALL_TIMEOUT_S = 20
# After the last death: the claim of ten seconds that a dead process leaves on an order, and its delays.
SETTLE_DEADLINE_S = 120
STOCK = 100_000
CARD = orders_pb2.PAYMENT_METHOD_CARD
COMPLETED, CANCELLED = orders_pb2.ORDER_STATUS_COMPLETED, orders_pb2.ORDER_STATUS_CANCELLED
NEEDS_ATTENTION = orders_pb2.SAGA_STATE_NEEDS_ATTENTION
# What a story's own calls pass; timers of the same process pass others, whenever they like.
_TOLD = ("orders.PlaceOrder/", "orders.UpdateOrder/", "orders.UpdateLine/", "test.Provider/")

_HEADINGS = ("story", "points, each a kill", "completed", "cancelled", "needs attention")
_METHOD = """
`make chaos suite=saga`: for each point of each story an orders process that kills itself (SIGKILL) when it passes it,
beside a whole suite, whose own orders process takes up what the dead leave; the points are noted by the code itself in
a run without a death: before and after every commit, every call to inventory and every call to the payment provider
(`test`, whose own commits are among them). Afterwards the client tells its story again. In the run above: every order
ended as the table says, {orders} in all, those without a death included; nobody was charged twice; the provider had
taken {taken}, which is what the books said and what the completed orders paid by card cost; {sold} pieces were sold and
as many are gone, nothing was held but for orders that need attention, and the ledger agreed with its movements. From
the first kill to the last order's end it took {lasted_s:.0f} s, from the last kill {healed_s:.0f} s.
"""


@dataclass
class Shop:
    """Where the stories are told, and to whom."""

    site_id: str
    menu_item_id: str
    pass_: str
    channel: Any

    def _told(self) -> Any:
        return {"metadata": ((metadata.PASS, self.pass_),), "timeout": CALL_TIMEOUT_S}

    async def place(self, order_id: str, token: str = "", quantities: tuple[int, ...] = (2,)) -> None:
        lines = [orders_pb2.OrderLine(menu_item_id=self.menu_item_id, quantity=quantity) for quantity in quantities]
        request = orders_pb2.PlaceOrderRequest(id=order_id, site_id=self.site_id, lines=lines, payment_token=token)
        if token:
            request.payment_method = CARD
        await orders_pb2_grpc.OrdersServiceStub(self.channel).PlaceOrder(request, **self._told())

    async def get(self, order_id: str) -> orders_pb2.Order:
        request = orders_pb2.GetOrderRequest(id=order_id)
        found: orders_pb2.Order = await orders_pb2_grpc.OrdersServiceStub(self.channel).GetOrder(
            request, **self._told()
        )
        return found

    async def move(self, order_id: str, status: Any) -> None:
        request = orders_pb2.UpdateOrderRequest(id=order_id, order=orders_pb2.Order(status=status))
        request.update_mask.paths.append("status")
        await orders_pb2_grpc.OrdersServiceStub(self.channel).UpdateOrder(request, **self._told())

    async def void_first(self, order_id: str) -> None:
        line = (await self.get(order_id)).lines[0]
        request = lines_pb2.UpdateLineRequest(id=order_id, line_id=line.id)
        request.line.status = orders_pb2.LINE_STATUS_VOIDED
        request.update_mask.paths.append("status")
        await lines_pb2_grpc.LinesServiceStub(self.channel).UpdateLine(request, **self._told())


Tell = Callable[[Shop, str], Awaitable[None]]


def _sold(token: str = "") -> Tell:
    async def tell(shop: Shop, order_id: str) -> None:
        await shop.place(order_id, token)
        await shop.move(order_id, COMPLETED)

    return tell


def _taken_back(token: str = "") -> Tell:
    async def tell(shop: Shop, order_id: str) -> None:
        await shop.place(order_id, token)
        await shop.move(order_id, CANCELLED)

    return tell


async def _trimmed(shop: Shop, order_id: str) -> None:
    await shop.place(order_id, "test_success", (1, 2))
    with suppress(grpc.aio.AioRpcError):
        # When it is told again, that is over.
        await shop.void_first(order_id)
    await shop.move(order_id, COMPLETED)


STORIES: dict[str, Tell] = {
    "paid at the till": _sold(),
    "paid by card": _sold("test_success"),
    "cancelled, nothing paid": _taken_back(),
    "cancelled and refunded": _taken_back("test_success"),
    "declined": _sold("test_decline"),
    "the charge's answer lost": _sold("test_timeout_after_charge"),
    "the capture refused": _sold("test_capture_refused"),
    "a line voided and refunded": _trimmed,
}


@dataclass
class Outcome:
    """What became of the orders of a story."""

    points: list[str]
    orders: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


class Victims:
    """Orders processes beside those of the suite."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        self._suite = suite
        self._folder = folder
        self._api = suite.login()
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def stock(self) -> tuple[str, str, str]:
        """A thing on the menu, of which there is enough: site, menu item, item."""
        call = self._api.call
        site_id = call("GET", "/api/v1/sites")[0]["id"]
        name = f"CHAOS-{uuid7()}"
        item = call("POST", "/api/v1/inventory/items", {"sku": name, "name": name, "unit": "each"})["id"]
        batch = {"site_id": site_id, "lot": "L1", "quantity": STOCK}
        call("POST", f"/api/v1/inventory/items/{item}/batches", batch)
        recipe = [{"item_id": item, "quantity": 1}]
        body = {"name": name, "price": {"amount": 450, "currency": "USD"}, "recipe": recipe}
        return site_id, call("POST", "/api/v1/menu-items", body)["id"], item

    async def at(self, address: str, site_id: str, menu_item_id: str) -> Shop:
        """The shop, as a process at this address serves it."""
        channel = grpc.aio.insecure_channel(address)
        return Shop(site_id, menu_item_id, await self._suite.issue_pass(self._suite.login()), channel)

    async def tell(self, tell: Tell, order_id: str, where: tuple[str, str], fault: str) -> int:
        """Tell a story to a new process; how that ended."""
        async with self._slots:
            process, port = await self._started(fault)
            try:
                shop = await self.at(f"127.0.0.1:{port}", *where)
                with suppress(grpc.aio.AioRpcError):
                    await tell(shop, order_id)
                await shop.channel.close()
                if not fault.startswith(">"):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(process.wait(), DEATH_DEADLINE_S)
            finally:
                if process.returncode is None:
                    process.terminate()
                    await process.wait()
            return process.returncode or 0

    async def _started(self, fault: str) -> tuple[asyncio.subprocess.Process, int]:
        for _ in range(START_TRIES):
            port, ops_port = embedded.free_ports(2)
            process = await self._start(fault, port, ops_port)
            if await self._ready(process, ops_port):
                return process, port
            # Somebody else has taken one of the ports meanwhile.
            await process.wait()
        tail = (self._folder / "victims.log").read_text()[-2000:]
        raise WrongAnswer(f"an orders process did not start:\n{tail}")

    async def _start(self, fault: str, port: int, ops_port: int) -> asyncio.subprocess.Process:
        state = RunDir(self._folder).state()
        fixed = {name: int(state[f"{name}_address"].rpartition(":")[2]) for name in environment.FIXED}
        layout = Layout(["orders"], self._suite.port, {"orders": ops_port}, {**fixed, "orders": port})
        backends = Backends(self._suite.admin_url, state["nats_url"], self._suite.valkey_url)
        spec = environment.spec("orders", layout, backends, RunDir(self._folder))
        with (self._folder / "victims.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *spec.argv, env={**spec.env, "SWITCHYARD_FAULT": fault}, cwd=ROOT, stdout=log, stderr=log
            )

    @staticmethod
    async def _ready(process: asyncio.subprocess.Process, ops_port: int) -> bool:
        async with asyncio.timeout(START_DEADLINE_S):
            while not await asyncio.to_thread(api.answers, f"http://127.0.0.1:{ops_port}/readyz"):
                if process.returncode is not None:
                    return False
                await asyncio.sleep(0.05)
        return True


async def run(say: Callable[[str], None]) -> dict[str, Any]:
    """All stories, all deaths. Raises `WrongAnswer` or `bench.suite.SuiteError`."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-chaos-")))
        suite = await Suite.start(folder)
        stack.push_async_callback(suite.stop)
        victims = Victims(suite, folder)
        site_id, menu_item_id, item_id = await victims.stock()
        where = (site_id, menu_item_id)
        survivor = suite.address_of(suite.login(), "orders")
        outcomes = await _points(victims, where, folder, say)
        began = time.perf_counter()
        await asyncio.gather(*(_kill(victims, name, outcome, where, say) for name, outcome in outcomes.items()))
        died = time.perf_counter()
        books = Books(suite)
        await books.settled()
        shop = await victims.at(survivor, *where)
        await _tell_again(shop, outcomes)
        await books.settled()
        ended = time.perf_counter()
        # Passes end after a minute.
        shop = await victims.at(survivor, *where)
        for outcome in outcomes.values():
            outcome.ends.update([_end(await shop.get(order_id)) for order_id in outcome.orders])
        totals = await books.balance(suite.login(), item_id)
        stories = {name: {"points": outcome.points, "ends": dict(outcome.ends)} for name, outcome in outcomes.items()}
        return {"stories": stories, "lasted_s": ended - began, "healed_s": ended - died, **totals}


async def _points(
    victims: Victims, where: tuple[str, str], folder: Path, say: Callable[[str], None]
) -> dict[str, Outcome]:
    outcomes = {}
    for name, tell in STORIES.items():
        path = folder / f"{uuid7()}.points"
        order_id = str(uuid7())
        await victims.tell(tell, order_id, where, f">{path}")
        passed = [line for line in path.read_text().splitlines() if line.startswith(_TOLD)]
        outcomes[name] = Outcome(list(_counted(passed)), [order_id])
        say(f"{name}: {len(passed)} points")
    return outcomes


def _counted(passed: list[str]) -> Iterator[str]:
    """Each point, with how often it was passed by then."""
    times: Counter[str] = Counter()
    for point in passed:
        times[point] += 1
        yield f"{point}:{times[point]}"


async def _kill(
    victims: Victims, name: str, outcome: Outcome, where: tuple[str, str], say: Callable[[str], None]
) -> None:
    async def die(fault: str) -> None:
        # On a busy machine a call may take too long, and the story another way, that does not lead there.
        for _ in range(DEATH_TRIES):
            order_id = str(uuid7())
            outcome.orders.append(order_id)
            if await victims.tell(STORIES[name], order_id, where, fault) == -signal.SIGKILL:
                return
        raise WrongAnswer(f"{name}: nobody died at {fault}")

    await asyncio.gather(*map(die, outcome.points))
    say(f"{name}: {len(outcome.points)} killed")


async def _tell_again(shop: Shop, outcomes: dict[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        for order_id in outcome.orders:
            with suppress(grpc.aio.AioRpcError):
                # Refused, or over already.
                await STORIES[name](shop, order_id)


def _end(order: orders_pb2.Order) -> str:
    if order.saga_state == NEEDS_ATTENTION:
        return "needs attention"
    ends = {COMPLETED: "completed", CANCELLED: "cancelled"}
    if order.status not in ends:
        raise WrongAnswer(f"order {order.id} has not ended: {order}")
    return ends[order.status]


class Books:
    """What the databases say, to their administrator."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite

    async def settled(self) -> None:
        """Return when no saga has anything left to do. Raises `WrongAnswer`."""
        sql = "SELECT order_id FROM sagas WHERE state IN ('running', 'compensating')"
        deadline = time.monotonic() + SETTLE_DEADLINE_S
        while left := await self._rows("orders", sql):
            if time.monotonic() > deadline:
                raise WrongAnswer(f"{len(left)} sagas have not come to an end")
            await asyncio.sleep(0.25)

    async def balance(self, manager: Any, item_id: str) -> dict[str, Any]:
        """Money and stock, of all that is not of the past. Raises `WrongAnswer` where they do not agree."""
        orders = await self._rows(
            "orders",
            "SELECT o.id, o.status, o.amount, o.payment_provider, s.state, p.captured, p.refunded, "
            "(SELECT sum(quantity) FROM lines l WHERE l.order_id = o.id AND l.status <> 'voided') AS pieces "
            "FROM orders o JOIN sagas s ON s.order_id = o.id LEFT JOIN order_payments p ON p.order_id = o.id "
            "WHERE o.channel <> 'import'",
        )
        charges = await self._rows("orders", "SELECT key, state, authorized, captured, refunded FROM test_charges")
        of_order = Counter(row["key"].partition("/")[0] for row in charges)
        self._require(max(of_order.values()) == 1, "an order was charged twice")
        taken = sum(row["captured"] - row["refunded"] for row in charges)
        carded = [row for row in orders if row["payment_provider"] != "cash"]
        kept = sum((row["captured"] or 0) - (row["refunded"] or 0) for row in carded)
        owed = sum(row["amount"] for row in carded if row["status"] == "completed")
        self._require(taken == kept == owed, f"taken {taken}, in the books {kept}, owed {owed}")
        stuck = {str(row["id"]) for row in orders if row["state"] == "needs_attention"}
        opened = {row["key"].partition("/")[0] for row in charges if row["state"] == "authorized"}
        self._require(opened <= stuck, "an authorisation is open")
        await self._stock(manager, item_id, orders, stuck)
        sold = sum(row["pieces"] for row in orders if row["status"] == "completed")
        return {"orders": len(orders), "taken": f"{taken / 100:,.2f} USD", "sold": int(sold)}

    async def _stock(self, manager: Any, item_id: str, orders: list[Any], stuck: set[str]) -> None:
        held = await self._rows("inventory", "SELECT order_id FROM reservations WHERE state IN (1, 2)")
        self._require({str(row["order_id"]) for row in held} <= stuck, "stock is held without an order")
        waiting = sum(row["pieces"] for row in orders if str(row["id"]) in stuck)
        sold = sum(row["pieces"] for row in orders if row["status"] == "completed")
        item = manager.call("GET", f"/api/v1/inventory/items/{item_id}")
        told = (item["on_hand"], item["reserved"])
        self._require(told == (STOCK - sold, waiting), f"on hand and reserved {told}, sold {sold}, waiting {waiting}")
        verified = manager.call("GET", f"/api/v1/inventory/items/{item_id}/ledger/verify")
        self._require(verified["consistent"], f"the ledger is not consistent: {verified}")

    @staticmethod
    def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - as an assert
        if not holds:
            raise WrongAnswer(message)

    async def _rows(self, service: str, sql: str) -> list[Any]:
        connection = await asyncpg.connect(migrate.url_of(self._suite.admin_url, migrate.database(service)))
        try:
            rows: list[Any] = await connection.fetch(sql)
            return rows
        finally:
            await connection.close()


# The figures.


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(*_HEADINGS)
    for row in _cells(result):
        table.add_row(*row)
    Console(width=max(Console().width, 120)).print(table)
    print(_METHOD.strip().format(**result))


def document(result: dict[str, Any]) -> str:
    """The chapter of `bench/RESULTS.md`."""
    parts = ["## Orders killed at every point", report.markdown(_HEADINGS, _cells(result))]
    return "\n\n".join([*parts, _METHOD.strip().format(**result)])


def _cells(result: dict[str, Any]) -> list[list[str]]:
    return [
        [name, str(len(told["points"])), *(str(told["ends"].get(end, 0)) for end in _HEADINGS[2:])]
        for name, told in result["stories"].items()
    ]
