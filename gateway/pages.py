"""The few paths that are the gateway's own: `/healthz`, `/openapi.json`, `/docs`."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Final

from gateway import errors, openapi
from gateway.headers import POLICY, Raw
from gateway.routes import RouteTable

Page = Callable[[str, RouteTable], Awaitable[tuple[int, list[Raw], bytes]]]

_DOCS: Final = resources.files("gateway").joinpath("docs.html").read_bytes()


def _digest(element: bytes) -> str:
    """The digest by which a policy allows the page's own element and no other."""
    text = _DOCS.partition(b"<%b>" % element)[2].partition(b"</%b>" % element)[0]
    return "'sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode() + "'"


_DOCS_POLICY: Final = (
    b"content-security-policy",
    f"default-src 'none'; connect-src 'self'; script-src {_digest(b'script')}; style-src {_digest(b'style')}; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'".encode(),
)
_JSON: Final = (b"content-type", b"application/json")
_FRESH: Final = (b"cache-control", b"no-cache")


async def _healthz(_table: RouteTable) -> tuple[list[Raw], bytes]:
    return [(b"content-type", b"text/plain; charset=utf-8"), POLICY, _FRESH], b"ok\n"


async def _openapi(table: RouteTable) -> tuple[list[Raw], bytes]:
    # Written once for each route table, which takes longer than other requests should wait.
    return [_JSON, POLICY, _FRESH], await asyncio.to_thread(openapi.render, table)


async def _docs(_table: RouteTable) -> tuple[list[Raw], bytes]:
    return [(b"content-type", b"text/html; charset=utf-8"), _DOCS_POLICY, _FRESH], _DOCS


def _page(make: Callable[[RouteTable], Awaitable[tuple[list[Raw], bytes]]]) -> Page:
    async def answer(verb: str, table: RouteTable) -> tuple[int, list[Raw], bytes]:
        if verb not in {"GET", "HEAD"}:
            raise errors.method_not_allowed(("GET", "HEAD"))
        headers, body = await make(table)
        return 200, headers, body

    return answer


PAGES: Final[Mapping[str, Page]] = {
    "/healthz": _page(_healthz),
    "/openapi.json": _page(_openapi),
    "/docs": _page(_docs),
}
