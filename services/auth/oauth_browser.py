"""What a person's browser keeps for us: who is signed in there, and what proves that a form is ours.

The cookie of a sign-in names a session and is signed; the session itself is a row like every other, so it ends like
every other, too. A form is bound to the browser, to who is signed in there, and to what was asked: what a person allows
is what they were shown.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis import clock
from services.auth.keys import Keyring

_SESSION = "switchyard-session"
_FORM = "switchyard-form"
# Longer than anybody looks for a telephone.
_TICKET_LIFE = timedelta(minutes=5)


@dataclass(frozen=True)
class Browser:
    """Who is signed in in a browser; `fresh`: by this very request."""

    session_id: UUID
    user_id: UUID
    authenticated_at: datetime
    fresh: bool = False


class Cookies:
    """Makes and reads cookies and forms."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        secure = keyring.issuer.startswith("https://")
        # Whoever has another host of the domain cannot set a cookie with this prefix.
        self._prefix = "__Host-" if secure else ""
        self._attributes = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def session_of(self, cookies: Mapping[str, str]) -> UUID | None:
        """The session that a browser is signed in with, alive or not."""
        named, _, mac = cookies.get(self._prefix + _SESSION, "").partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", named).encode()):
            return None
        return UUID(named)

    def for_session(self, session_id: UUID) -> str:
        """The cookie of a session that was just begun."""
        return f"{self._prefix}{_SESSION}={session_id}.{self._mac('session', str(session_id))}{self._attributes}"

    def form_of(self, cookies: Mapping[str, str]) -> str:
        """What forms are bound to in a browser; empty: nothing yet."""
        return cookies.get(self._prefix + _FORM, "")

    def new_form(self) -> tuple[str, str]:
        """Something new to bind forms to, and its cookie."""
        value = secrets.token_urlsafe(24)
        return value, f"{self._prefix}{_FORM}={value}{self._attributes}"

    def token(self, form: str, browser: Browser | None, asked: str) -> str:
        """What a form carries that is ours."""
        return self._mac("form", form, str(browser.session_id if browser else ""), asked)

    def is_ours(self, token: str, form: str, browser: Browser | None, asked: str) -> bool:
        """Whether a form is."""
        return bool(form) and hmac.compare_digest(token.encode(), self.token(form, browser, asked).encode())

    def ticket(self, form: str, user_id: UUID, password_hash: str) -> str:
        """What says, for a while and in this browser, that somebody has given the password that they have."""
        until = int((clock.now() + _TICKET_LIFE).timestamp())
        return f"{user_id}.{until}.{self._mac('ticket', form, str(user_id), str(until), password_hash)}"

    def holder(self, ticket: str) -> UUID | None:
        """Whose ticket it says to be."""
        try:
            return UUID(ticket.partition(".")[0])
        except ValueError:
            return None

    def is_good(self, ticket: str, form: str, password_hash: str) -> bool:
        """Whether a ticket is ours, of this browser and password, and in time."""
        user_id, _, rest = ticket.partition(".")
        until, _, mac = rest.partition(".")
        wanted = self._mac("ticket", form, user_id, until, password_hash)
        return hmac.compare_digest(mac.encode(), wanted.encode()) and int(until) > clock.now().timestamp()

    def _mac(self, *parts: str) -> str:
        message = "\0".join(parts).encode()
        return hmac.new(self._keyring.derive("browsers"), message, hashlib.sha256).hexdigest()
