"""Scopes that a client asks for: a few about who somebody is, and permissions or patterns of them."""

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import chain

from chassis.identity import Principal
from services.auth import roles

OPENID = "openid"
PROFILE = "profile"
EMAIL = "email"
OFFLINE = "offline_access"
IDENTITY = (OPENID, PROFILE, EMAIL, OFFLINE)
# OpenID Connect defines them and clients ask for them by habit; there is nothing behind them here.
_NOTHING_BEHIND = frozenset({"address", "phone"})
_PLATFORM = "platform."
# As the contract has them.
_PERMISSION = re.compile(r"\*|[a-z_]+(\.[a-z_]+)*(\.\*)?|\*\.[a-z_]+", re.ASCII)
# No more can be registered, so no more are asked for in good faith.
_ASKED_MAX = 100

_WORDS = {
    OPENID: "Know that it is you",
    PROFILE: "See your name, your roles and the company",
    EMAIL: "See your e-mail address",
    OFFLINE: "Stay connected while you are away, until you end it",
}
_VERBS = {"read": "See", "write": "Change"}


def listed(scope: str | None) -> list[str]:
    """The scopes of a request, each once."""
    return [one for one in dict.fromkeys((scope or "").split()) if one not in _NOTHING_BEHIND]


def is_of_platform(scope: str) -> bool:
    """Whether it would let a client act for the platform, which no tenant can give."""
    return scope in roles.PLATFORM_PERMISSIONS or scope.startswith(_PLATFORM)


def covered(wanted: str, held: Collection[str]) -> bool:
    """Whether a scope, or a wider one, is among those held. Who somebody is must be asked for by its name."""
    if wanted in held:
        return True
    if wanted in IDENTITY or not _PERMISSION.fullmatch(wanted) or "." not in wanted or is_of_platform(wanted):
        return False
    return Principal("scope", "", None, permissions=frozenset(held)).may(wanted)


def all_covered(wanted: Collection[str], held: Collection[str]) -> bool:
    """Whether all of these are."""
    return len(wanted) <= _ASKED_MAX and all(covered(one, held) for one in wanted)


def permissions(scopes: Iterable[str]) -> list[str]:
    """Those that are permissions or patterns of them."""
    return [scope for scope in scopes if scope not in IDENTITY]


def worded(scopes: Sequence[str]) -> list[str]:
    """What a person reads who is asked to allow them."""
    about_you = [_WORDS[scope] for scope in IDENTITY if scope in scopes]
    return list(dict.fromkeys(chain(about_you, map(_worded, permissions(scopes)))))


def _worded(scope: str) -> str:
    service, _, rest = scope.partition(".")
    if scope == "*":
        return "Do all that you may do"
    if service == "*":
        return f"{_VERBS.get(rest, rest.capitalize())} all that you may {_VERBS.get(rest, rest).lower()}"
    if rest == "*":
        return f"Do in {service} all that you may do there"
    what, _, verb = rest.rpartition(".")
    subject = " ".join(filter(None, (service, what.replace(".", " ").replace("_", " ").replace("*", ""))))
    return f"{_VERBS.get(verb, verb.replace('_', ' ').capitalize())} {subject}".rstrip()
