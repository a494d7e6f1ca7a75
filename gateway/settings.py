"""What the gateway is told by its environment besides what every process is told."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from chassis import settings

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h) burst (\d+)")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in a second, and so many at once after a rest."""

    per_s: float
    burst: int

    @property
    def window_s(self) -> float:
        """Seconds until a spent burst is whole again."""
        return self.burst / self.per_s


def rate(text: object) -> Rate:
    """A rate as it is written: `300/s burst 600`, `10/m burst 30`. Raises ValueError."""
    if isinstance(text, Rate):
        return text
    found = _RATE.fullmatch(str(text).strip())
    if found is None or float(found.group(1)) <= 0 or int(found.group(3)) < 1:
        raise ValueError("a rate is written like `300/s burst 600`")
    return Rate(float(found.group(1)) / _UNIT_S[found.group(2)], int(found.group(3)))


def _words(text: object) -> object:
    return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text


RateSetting = Annotated[Rate, NoDecode, BeforeValidator(rate)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


class Settings(settings.Settings):
    """Where the gateway listens, whom it trusts and what it bears."""

    http_host: str = "127.0.0.1"
    http_port: int = 8000
    valkey_url: str = "redis://127.0.0.1:6379/0"

    # Origins whose pages may call from a browser, such as `https://portal.example`.
    cors_origins: Words = ()
    # Addresses of proxies whose `X-Forwarded-For` is believed; nobody's unless given.
    trusted_proxies: Words = ()

    # A tenant's flood must not be the others' drought; a principal may use a good part of its tenant's share.
    limit_tenant: RateSetting = Rate(1000, 2000)
    limit_read: RateSetting = Rate(300, 600)
    limit_write: RateSetting = Rate(100, 200)
    limit_payment: RateSetting = Rate(10, 60)
    limit_admin: RateSetting = Rate(50, 200)
    # Of one address: sign-ins, calls without a credential, and credentials never seen before.
    limit_login: RateSetting = Rate(10 / 60, 30)
    limit_public: RateSetting = Rate(50, 200)
    limit_exchange: RateSetting = Rate(50, 500)

    # Calls under way at once; over it, calls are shed, those of administration and health last.
    concurrency_max: int = 1000

    sockets_max: int = 20_000
    sockets_tenant_max: int = 5_000
