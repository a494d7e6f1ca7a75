"""What letters say. What others have written (names) stands in them as one line of plain text."""

from collections import defaultdict
from typing import NamedTuple

from services.auth import letters
from services.auth.letters import Letter

_WORD_MAX = 100


class Words(NamedTuple):
    """Subject and body, with places for what is told."""

    subject: str
    body: str


_KINDS = {
    letters.INVITATION: Words(
        "You are invited to {tenant}",
        """
        {by} invites you to join {tenant} on Switchyard ({url}).

        To accept, give this token and choose a password:

            {token}

        The token works once, until {expires_at}. If you expected no invitation, do nothing.
        """,
    ),
    letters.MEMBERSHIP_CONSENT: Words(
        "{tenant} wants to add you",
        """
        {by} wants to add your account to {tenant} on Switchyard ({url}).

        To agree, give this token:

            {token}

        The token works once, until {expires_at}. If you do not know {tenant}, do nothing: without your consent nothing
        is added.
        """,
    ),
    letters.PASSWORD_RESET: Words(
        "Set a new password",
        """
        Somebody, probably you, asked for a new password of your account at {url}.

        To set one, give this token:

            {token}

        The token works once, for 30 minutes. If it was not you, do nothing: your password stays as it is.
        """,
    ),
    letters.PASSWORD_CHANGED: Words(
        "Your password was changed",
        """
        The password of your account at {url} was changed at {at}. Other sessions of yours have been ended.

        If it was not you, ask for a new password at once and tell an administrator.
        """,
    ),
    letters.FACTOR_CHANGED: Words(
        "How you sign in was changed",
        """
        At {at}, {change} (account at {url}).

        If it was not you, change your password at once, end your sessions, and tell an administrator.
        """,
    ),
}
_UNTOLD = {"tenant": "a tenant", "by": "An administrator", "expires_at": "it expires", "at": "this time"}


def worded(letter: Letter, url: str) -> tuple[str, str]:
    """Subject and body of a letter."""
    told = {name: _one_line(word) for name, word in letter.told.items() if word}
    places = defaultdict(str, {**_UNTOLD, **told, "token": letter.token, "url": url})
    words = _KINDS[letter.kind]
    greeting = f"Hello {_one_line(letter.name)}," if letter.name else "Hello,"
    lines = [line.removeprefix(" " * 8) for line in words.body.strip("\n").splitlines()]
    body = "\n".join(lines).rstrip().format_map(places)
    return words.subject.format_map(places), f"{greeting}\n\n{body}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_WORD_MAX]
