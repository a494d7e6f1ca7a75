"""Whether the names that people give things of the world are ones: time zones, currencies, locales."""

import zoneinfo
from functools import cache

from babel import Locale
from babel.core import get_locale_identifier, parse_locale
from babel.numbers import get_territory_currencies

from chassis import clock, errors
from chassis.identity import Principal

# Countries have two letters; what else CLDR calls a territory has no money of its own.
_COUNTRY_LEN = 2


def time_zone(name: str, field: str) -> str:
    """An IANA name. Raises `Invalid`, naming the field."""
    if name not in _time_zones():
        raise errors.Invalid(fields={field: ["is not an IANA time zone"]})
    return name


def currency(code: str, field: str) -> str:
    """The ISO 4217 code of money that some country pays with now. Raises `Invalid`, naming the field."""
    if code not in _currencies():
        raise errors.Invalid(fields={field: ["is not the ISO 4217 code of a currency in use"]})
    return code


def locale(tag: str, field: str) -> str:
    """A BCP 47 tag as it is written properly (`sv-se` is `sv-SE`). Raises `Invalid`, naming the field."""
    try:
        parts = parse_locale(tag, sep="-")
    except ValueError:
        parts = ("", None, None, None)
    language, territory, script = parts[:3]
    named = Locale("en")
    known = (
        language in named.languages
        and (territory is None or territory in named.territories)
        and (script is None or script in named.scripts)
    )
    if not known:
        raise errors.Invalid(fields={field: ["is not a BCP 47 tag of a known language and region"]})
    return get_locale_identifier(parts, sep="-")


def whole_tenant(principal: Principal) -> None:
    """Raise `Denied` for somebody limited to sites: what concerns the whole tenant is not theirs."""
    if principal.sites:
        message = "whoever is limited to some sites cannot change what concerns the whole tenant"
        raise errors.Denied(message)


@cache
def _time_zones() -> set[str]:
    # Read from the disk: ten milliseconds.
    return zoneinfo.available_timezones()


@cache
def _currencies() -> frozenset[str]:
    today = clock.now().date()
    countries = (name for name in map(str, Locale("en").territories) if len(name) == _COUNTRY_LEN and name.isalpha())
    return frozenset(
        code for name in countries for code in get_territory_currencies(name, start_date=today, end_date=today)
    )
