"""Providers, tokens, and what the database itself refuses of payments."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr, ValidationError
from switchyard.orders.v1 import orders_pb2
from uuid_utils.compat import uuid7

from chassis import call, errors
from services.orders import paying
from services.orders.paying import Charge, Money, State
from services.orders.paying_scripted import Scripted
from services.orders.settings import OrdersSettings
from services.orders.tests import till

# Published by their networks for tests.
NUMBERS = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "5555-5555-5555-4444",
    "378282246310005",
    "card=6011111111111117;",
]


class TestTokens:
    @pytest.mark.parametrize("token", NUMBERS)
    async def test_a_card_number_is_refused(self, shop: Any, token: str) -> None:
        with pytest.raises(errors.Invalid) as refused:
            await till.by_card(shop, token)

        assert list(refused.value.fields) == ["payment_token"]
        assert token not in str(refused.value.fields)

    @pytest.mark.parametrize("token", NUMBERS)
    async def test_even_when_it_is_paid_at_the_till(self, shop: Any, token: str) -> None:
        with pytest.raises(errors.Invalid):
            await shop.place(payment_token=token)

    @pytest.mark.parametrize("token", ["tok_visa", "4242424242424241", "pm_1NxYzA2eZvKYlo2C", "123456789012"])
    def test_what_is_none_is_taken(self, token: str) -> None:
        assert not paying.looks_like_card_number(token)

    async def test_by_card_a_token_is_needed(self, shop: Any) -> None:
        with pytest.raises(errors.Invalid) as refused:
            await till.by_card(shop, "")

        assert list(refused.value.fields) == ["payment_token"]

    async def test_is_sealed_and_not_in_the_trail(self, shop: Any) -> None:
        shop.inventory.fail("Reserve", errors.Unavailable(), times=3)
        order_id = uuid7()
        with pytest.raises(errors.Unavailable):
            await till.by_card(shop, "test_success", id=str(order_id))

        (kept,) = await shop.rows("SELECT token FROM order_payments WHERE order_id = $1", order_id)
        told = await shop.rows("SELECT envelope FROM outbox WHERE envelope LIKE $1", f"%{order_id}%")

        assert b"test_success" not in kept["token"]
        assert not [row for row in told if "test_success" in row["envelope"]]

    async def test_is_forgotten_when_it_has_done_its_work(self, shop: Any) -> None:
        order = await till.by_card(shop)

        (kept,) = await shop.rows("SELECT token FROM order_payments WHERE order_id = $1", UUID(order.id))

        assert kept["token"] is None


class TestSettings:
    def test_production_takes_no_test_money(self) -> None:
        told = {
            "database_url": SecretStr("postgresql://x"),
            "orders_master_key": SecretStr("a master key for tests"),
            "environment": "production",
            "stream_replicas": 3,
            "nats_monitor_urls": "http://nats:8222",
        }

        with pytest.raises(ValidationError, match="TEST_PAYMENTS"):
            OrdersSettings(**told, test_payments=True)  # type: ignore[arg-type]

    async def test_without_a_provider_a_card_is_refused(self) -> None:
        with pytest.raises(errors.Invalid) as refused:
            paying.Desk().intent("card", "tok")

        assert list(refused.value.fields) == ["payment_method"]


MONEY = Money(900, "USD")


class TestScripted:
    """Whatever a provider is asked may be asked again; and the last word is the first that was said."""

    @pytest.fixture
    def provider(self, shop: Any) -> Any:
        return Scripted(shop.running.service.database)

    @pytest.fixture(autouse=True)
    def acting(self, shop: Any) -> Any:
        with call.answering(call.Call(shop.staff, "orders.PlaceOrder")):
            yield

    async def test_many_who_authorise_make_one_charge(self, shop: Any, provider: Any) -> None:
        order_id = uuid7()

        answers = await asyncio.gather(*(provider.authorise(order_id, MONEY, "test_success") for _ in range(8)))

        assert {(answer.state, answer.authorized) for answer in answers} == {(State.AUTHORIZED, 900)}
        assert (await till.charge(shop, order_id))["authorized"] == 900

    async def test_many_who_capture_take_it_once(self, shop: Any, provider: Any) -> None:
        order_id = uuid7()
        await provider.authorise(order_id, MONEY, "test_success")

        answers = await asyncio.gather(*(provider.capture(order_id, MONEY) for _ in range(8)))

        assert {(answer.state, answer.captured) for answer in answers} == {(State.CAPTURED, 900)}

    async def test_capture_or_void_wins(self, shop: Any, provider: Any) -> None:
        outcomes = set()
        for _ in range(8):
            order_id = uuid7()
            await provider.authorise(order_id, MONEY, "test_success")

            answers = await asyncio.gather(provider.capture(order_id, MONEY), provider.void(order_id))

            outcomes.add(tuple(answer.state for answer in answers))
        assert outcomes <= {(State.CAPTURED, State.CAPTURED), (State.VOIDED, State.VOIDED)}

    async def test_what_was_voided_before_it_came_is_never_charged(self, provider: Any) -> None:
        order_id = uuid7()
        await provider.void(order_id)

        late = await provider.authorise(order_id, MONEY, "test_success")

        assert late == Charge(State.VOIDED, reference=late.reference)

    async def test_a_refund_says_how_much_altogether(self, provider: Any) -> None:
        order_id = uuid7()
        await provider.authorise(order_id, MONEY, "test_success")
        await provider.capture(order_id, MONEY)

        refunds = [await provider.refund(order_id, Money(amount, "USD")) for amount in (300, 300, 200, 900, 900)]

        assert [refund.refunded for refund in refunds] == [300, 300, 300, 900, 900]
        assert refunds[-1].state is State.REFUNDED

    async def test_a_lost_answer_is_found(self, provider: Any) -> None:
        order_id = uuid7()
        with pytest.raises(errors.Unavailable):
            await provider.authorise(order_id, MONEY, "test_timeout_after_charge")

        assert (await provider.look_up(order_id)).state is State.AUTHORIZED

    async def test_an_unknown_token_is_declined(self, provider: Any) -> None:
        answer = await provider.authorise(uuid7(), MONEY, "tok_visa")

        assert (answer.state, answer.code) == (State.DECLINED, "UNKNOWN_TOKEN")


class TestConstraints:
    @pytest.mark.parametrize(
        "change",
        [
            "captured = authorized + 1",
            "refunded = captured + 1",
            "state = 'authorized', captured = NULL",
            "captured = captured - 1",
            "state = 'voided', captured = NULL",
            "amount = amount + 1",
        ],
    )
    async def test_a_captured_payment_that_cannot_be(self, shop: Any, change: str) -> None:
        order = await till.by_card(shop)

        with pytest.raises(asyncpg.CheckViolationError):
            await shop.rows(f"UPDATE order_payments SET {change} WHERE order_id = $1", UUID(order.id))

    async def test_an_order_has_one_payment(self, shop: Any) -> None:
        order = await till.by_card(shop)
        again = "INSERT INTO order_payments SELECT (jsonb_populate_record(p, $2::jsonb)).* FROM order_payments p"

        with pytest.raises(asyncpg.UniqueViolationError) as violated:
            await shop.rows(f"{again} WHERE order_id = $1", UUID(order.id), f'{{"id": "{uuid7()}"}}')

        assert violated.value.constraint_name == "order_payments_one_of_order"

    async def test_nothing_unpaid_is_completed(self, shop: Any) -> None:
        order = await shop.place()

        with pytest.raises(asyncpg.CheckViolationError, match="nothing due"):
            await shop.rows(
                "UPDATE orders SET status = 'completed', posted = true, version = version + 1 WHERE id = $1",
                UUID(order.id),
            )

    async def test_nothing_cancelled_keeps_money(self, shop: Any) -> None:
        order = await till.by_card(shop)

        with pytest.raises(asyncpg.CheckViolationError, match="holds nothing"):
            await shop.rows("UPDATE orders SET status = 'cancelled', version = version + 1 WHERE id = $1", order.id)

    async def test_no_saga_settles_while_money_is_kept(self, shop: Any) -> None:
        order = await till.by_card(shop, "test_refund_fails_twice")
        await shop.patch(order.id, status=till.CANCELLED)

        with pytest.raises(asyncpg.CheckViolationError, match="holds nothing"):
            await shop.rows(
                "UPDATE sagas SET state = 'settled', step = 'none', released = true WHERE order_id = $1", order.id
            )

    async def test_no_saga_settles_while_stock_is_held(self, shop: Any) -> None:
        order = await shop.place()
        shop.inventory.fail("ReleaseReservation", errors.Unavailable(), times=3)
        await shop.patch(order.id, status=orders_pb2.ORDER_STATUS_CANCELLED)

        with pytest.raises(asyncpg.CheckViolationError, match="holds nothing"):
            await shop.rows("UPDATE sagas SET state = 'settled', step = 'none' WHERE order_id = $1", order.id)
