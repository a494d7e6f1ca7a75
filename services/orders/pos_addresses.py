"""Where orders may be sent: a tenant names the URL, so what stands behind it is looked at before it is told anything.

A name is resolved, every address it has is checked, and the connection is made to the checked address, so that a name
which points elsewhere a moment later leads nowhere (server-side request forgery, DNS rebinding).
"""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from services.orders.settings import OrdersSettings

RESOLVE_TIMEOUT_S = 3.0
# IPv6 addresses that stand for IPv4 ones behind a translator (RFC 6052, RFC 8215).
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(Exception):
    """Nothing is sent there. The message says why, and no address."""


class Unresolved(Exception):
    """The name has no address at the moment."""


@dataclass(frozen=True)
class Guard:
    """What is allowed here."""

    http: bool = False
    private: bool = False

    @classmethod
    def of(cls, settings: OrdersSettings) -> "Guard":
        """What the settings allow."""
        return cls(http=settings.development, private=settings.development and settings.pos_at_private_addresses)

    def parse(self, url: str) -> SplitResult:
        """A URL that may be meant. Raises `Forbidden`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as failure:
            raise Forbidden("is not a URL") from failure
        if parts.scheme not in ({"http", "https"} if self.http else {"https"}):
            raise Forbidden("must begin with https://")
        if not parts.hostname or not url.isascii() or any(mark in url for mark in "\\ \t\r\n"):
            raise Forbidden("is not a URL")
        if "@" in parts.netloc or parts.fragment:
            raise Forbidden("must have neither user, password nor fragment")
        if port == 0:
            raise Forbidden("is not a URL")
        return parts

    async def resolve(self, url: str) -> str:
        """The address to connect to. Raises `Forbidden`, and `Unresolved` when the name has none."""
        parts = self.parse(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as failure:  # a TimeoutError is an OSError
            raise Unresolved(type(failure).__name__) from failure
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses:
            raise Unresolved
        # One bad address is enough: which of them is used is not for the name's owner to say.
        if not self.private and not all(is_public(address) for address in addresses):
            raise Forbidden("must stand at a public address")
        return str(addresses[0])


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, looked at through what it embeds."""
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if any(address in network for network in _TRANSLATED):
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if embedded is not None:
            return is_public(embedded)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)
