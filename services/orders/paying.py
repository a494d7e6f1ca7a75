"""How the money of an order is taken: what a provider is, the till, and where tokens are sealed.

Card data never enters: a client gives the token that the provider gave it for a card, and what looks like a card's
number is refused. A provider is asked between transactions, never inside one; whatever is asked may be asked again.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from chassis import call, errors
from chassis.encryption import Vault

CASH, CARD = "cash", "card"
# A call to a provider takes no longer.
CALL_TIMEOUT_S = 4.0
# Card numbers have 13 to 19 digits (ISO/IEC 7812), which people write in groups.
_CARD_NUMBER = re.compile(r"\d(?:[ -]?\d){12,18}")
_TWO_DIGITS = 9


class State(StrEnum):
    """What a provider says has become of an order's money."""

    # It has never heard of it.
    ABSENT = "absent"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"
    REFUNDED = "refunded"
    # It does not know yet: it is looked up later.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Money:
    """An amount in the smallest unit of its currency."""

    amount: int
    currency: str


@dataclass(frozen=True)
class Charge:
    """A provider's answer: the state of an order's money after what was asked, and the amounts so far.

    `reference` is what the provider calls it; `code` says why it was declined.
    """

    state: State
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    reference: str = ""
    code: str = ""


def key(order_id: UUID, step: str) -> str:
    """The idempotency key of a step of an order: the same in every process and at every try."""
    return f"{order_id}/{step}"


class Provider(Protocol):
    """Takes the money of orders.

    Every method is idempotent by a `key` of the order and the step, and answers with what has become of the money, be
    it by this call or an earlier one. Raises `errors.Unavailable` or takes too long when nobody knows whether it took
    place: then it is looked up.
    """

    name: str

    async def authorise(self, order_id: UUID, money: Money, token: str) -> Charge:
        """Make sure of the money: authorised or declined; voided when it was voided before it came here."""
        ...

    async def capture(self, order_id: UUID, money: Money) -> Charge:
        """Take what is authorised, or a part of it: once, however often it is asked."""
        ...

    async def void(self, order_id: UUID) -> Charge:
        """Give back what is authorised; an authorisation that comes late gets nothing. What is captured stays so."""
        ...

    async def refund(self, order_id: UUID, money: Money) -> Charge:
        """Give back of what is captured until as much as this is given back altogether."""
        ...

    async def look_up(self, order_id: UUID) -> Charge:
        """What has become of it."""
        ...


class Cash:
    """The till: whoever orders is good for it, and pays when the order is handed out."""

    name = CASH

    async def authorise(self, order_id: UUID, money: Money, token: str) -> Charge:  # noqa: ARG002
        """At once."""
        return Charge(State.AUTHORIZED, authorized=money.amount)

    async def capture(self, order_id: UUID, money: Money) -> Charge:  # noqa: ARG002
        """What is completed is paid."""
        return Charge(State.CAPTURED, authorized=money.amount, captured=money.amount)

    async def void(self, order_id: UUID) -> Charge:  # noqa: ARG002
        """There is nothing in the drawer."""
        return Charge(State.VOIDED)

    async def refund(self, order_id: UUID, money: Money) -> Charge:  # noqa: ARG002
        """Out of the drawer."""
        return Charge(State.REFUNDED, authorized=money.amount, captured=money.amount, refunded=money.amount)

    async def look_up(self, order_id: UUID) -> Charge:  # noqa: ARG002
        """The drawer remembers no order."""
        return Charge(State.ABSENT)


@dataclass(frozen=True)
class Intent:
    """How an order is to be paid: at which provider, and with which token, sealed."""

    id: UUID
    provider: str
    token: bytes


class Desk:
    """The providers there are, and the seal of their tokens."""

    def __init__(self, *providers: Provider, vault: Vault | None = None) -> None:
        self._providers: dict[str, Provider] = {each.name: each for each in (Cash(), *providers)}
        self._vault = vault

    def of(self, name: str) -> Provider:
        """A provider. Raises `Unavailable` for one that is not set up any more."""
        if name not in self._providers:
            message = f"the payment provider {name} is not set up"
            raise errors.Unavailable(message, code="PAYMENT_PROVIDER_MISSING")
        return self._providers[name]

    def intent(self, method: str, token: str) -> Intent | None:
        """How whoever calls wants to pay; nothing, at the till. Raises `Invalid`."""
        if looks_like_card_number(token):
            message = "is a card's number: only what the payment's provider gave for the card may be sent"
            raise errors.Invalid(fields={"payment_token": [message]})
        if method != CARD:
            return None
        name = next((name for name in self._providers if name != CASH), None)
        if name is None or self._vault is None:
            raise errors.Invalid(fields={"payment_method": ["no provider of card payments is set up"]})
        if not token:
            raise errors.Invalid(fields={"payment_token": ["is required to pay by card"]})
        intent_id = uuid7()
        about = _about(call.current().principal.tenant, intent_id)
        return Intent(intent_id, name, self._vault.seal(token.encode(), about))

    def token(self, tenant_id: UUID, intent_id: UUID, sealed: bytes) -> str:
        """A token, opened."""
        assert self._vault is not None  # it sealed the token
        return self._vault.open(sealed, _about(tenant_id, intent_id)).decode()


def _about(tenant_id: UUID, intent_id: UUID) -> str:
    # As `order_payments.token` says it.
    return f"order_payments/{tenant_id}/{intent_id}"


def looks_like_card_number(text: str) -> bool:
    """Whether a text contains a card's number: as many digits, of which the last is right (Luhn, ISO/IEC 7812-1)."""
    return any(_is_luhn([int(each) for each in found if each.isdigit()]) for found in _CARD_NUMBER.findall(text))


def _is_luhn(digits: list[int]) -> bool:
    doubled = [2 * each - (9 if 2 * each > _TWO_DIGITS else 0) for each in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
