"""Redirect URIs: what a client may register, and what is one of them.

They are compared to the letter (RFC 9700, section 2.1), with the one exception that it makes: a native app listens on a
port of the moment, so a loopback address registered without a port stands for itself at any port (RFC 8252, 7.3).
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

# RFC 3986 without what an error description cannot carry; a fragment would take the answer.
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
# It stands in a policy header, where other characters mean something.
_HOST = re.compile(r"[A-Za-z0-9.-]+|[0-9A-Fa-f:.]+")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# `localhost` may be resolved to something else, so it is compared to the letter.
_AT_ANY_PORT = re.compile(r"(?P<host>http://(?:127\.0\.0\.1|\[::1\])):[0-9]{1,5}(?P<rest>/.*)?")


def fault(uri: str) -> str:
    """Why a redirect URI cannot be registered; empty: it can."""
    if not _CHARACTERS.fullmatch(uri):
        return "is not a URI without a fragment"
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URI"
    if not host or not _HOST.fullmatch(host) or "@" in parts.netloc:
        return "must name a host, and no user"
    if parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK):
        return ""
    return "must be https, or http on the loopback interface"


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """Whether a redirect URI is one of the client's."""
    known = frozenset(registered)
    if uri in known:
        return True
    local = _AT_ANY_PORT.fullmatch(uri)
    return local is not None and local["host"] + (local["rest"] or "") in known


def origin(uri: str) -> str:
    """Scheme, host and port of a registered redirect URI."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"
