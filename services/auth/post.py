"""The post: takes the letters that wait, puts them into words, and hands them to a mail server or a folder."""

import asyncio
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import aiosmtplib
import structlog

from chassis import clock, identity
from chassis.db import Database
from chassis.encryption import Vault
from services.auth import letters, resets
from services.auth.letters import Letter, Letters
from services.auth.letters_worded import worded
from services.auth.settings import AuthSettings

EVERY_S = 1.0
TIMEOUT_S = 30.0
# Answers from here on are final (RFC 5321), but for those about our own standing with the server.
_FINAL = 500

log = structlog.get_logger()


class Undeliverable(Exception):
    """Nobody will ever take this letter."""


class Delayed(Exception):
    """The letter was not taken this time."""


class Carrier(Protocol):
    """Takes letters to where they are read."""

    async def carry(self, message: EmailMessage, name: str) -> None:
        """Deliver a letter. `name` is its own, the same at each try. Raises `Undeliverable` or `Delayed`."""
        ...


class Folder:
    """Puts letters into a folder, a file each."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def carry(self, message: EmailMessage, name: str) -> None:
        """Write the file as a whole or not at all."""
        try:
            await asyncio.to_thread(self._write, bytes(message), name)
        except OSError as failure:
            raise Delayed(repr(failure)) from failure

    def _write(self, content: bytes, name: str) -> None:
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = self._path / f".{name}"
        unfinished.write_bytes(content)
        unfinished.rename(self._path / f"{name}.eml")


class Smtp:
    """Hands letters to a mail server, encrypted when it offers STARTTLS (`smtps` from the beginning)."""

    def __init__(self, url: SplitResult) -> None:
        self._url = url

    async def carry(self, message: EmailMessage, name: str) -> None:  # noqa: ARG002 - the message has an id
        """Hand the letter over."""
        url = self._url
        try:
            await aiosmtplib.send(
                message,
                hostname=url.hostname,
                port=url.port,
                username=unquote(url.username) if url.username else None,
                password=unquote(url.password) if url.password else None,
                use_tls=url.scheme == "smtps",
                timeout=TIMEOUT_S,
            )
        except aiosmtplib.SMTPRecipientsRefused as failure:
            final = all(refused.code >= _FINAL for refused in failure.recipients)
            raise (Undeliverable if final else Delayed)(repr(failure)) from failure
        except aiosmtplib.SMTPDataError as failure:
            raise (Undeliverable if failure.code >= _FINAL else Delayed)(repr(failure)) from failure
        except (aiosmtplib.SMTPException, OSError) as failure:
            raise Delayed(repr(failure)) from failure


class Post:
    """Sends what waits. Many processes may do it at once: a letter is one process's at a time."""

    def __init__(self, database: Database, vault: Vault, waiting: Letters, settings: AuthSettings) -> None:
        self._database = database
        self._vault = vault
        self._letters = waiting
        self._carrier = carrier(settings.mail_url.get_secret_value())
        host = urlsplit(settings.public_url).hostname or "localhost"
        self._sender = settings.mail_from or f"no-reply@{host if '.' in host else 'localhost'}"
        self._host = host
        self._public_url = settings.public_url.rstrip("/")

    async def send(self) -> None:
        """Write the letters that were asked for, and send those that are due, one after the other."""
        while await self._answer_one():
            pass
        while self._carrier is not None and (letter := await self._take()) is not None:
            gone = await self._deliver(self._carrier, letter)
            async with self._database.transaction(_AUTH) as session:
                await (self._letters.sent if gone else self._letters.failed)(session, letter)

    async def _answer_one(self) -> bool:
        async with self._database.transaction(_AUTH) as session:
            return await resets.answer_one(session, self._vault, self._letters)

    async def _take(self) -> Letter | None:
        async with self._database.transaction(_AUTH) as session:
            return await self._letters.take(session)

    async def _deliver(self, by: Carrier, letter: Letter) -> bool:
        """Whether the letter need not be tried again."""
        about = {"letter": str(letter.id), "kind": letter.kind}
        try:
            await by.carry(self._message(letter), str(letter.id))
        except (Undeliverable, ValueError) as failure:
            # The address is in the server's answer: it is a person's, and not for the log.
            log.warning("letter_undeliverable", error=type(failure).__name__, **about)
        except Delayed as failure:
            log.warning("letter_delayed", error=type(failure.__cause__).__name__, attempts=letter.attempts, **about)
            return False
        return True

    def _message(self, letter: Letter) -> EmailMessage:
        """The letter as it travels. Raises `Undeliverable` or ValueError for one that cannot be sent any more."""
        if clock.now() - letter.written_at > letters.GIVEN_UP_AFTER:
            raise Undeliverable("too old")
        subject, body = worded(letter, self._public_url)
        message = EmailMessage()
        message["From"] = Address("Switchyard", addr_spec=self._sender)
        message["To"] = Address(addr_spec=letter.to)
        message["Subject"] = subject
        message["Date"] = format_datetime(letter.written_at)
        message["Message-ID"] = f"<{letter.id}@{self._host}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body)
        return message


def carrier(url: str) -> Carrier | None:
    """The carrier that a URL means; none for an empty one. Raises ValueError for one of another kind."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Folder(Path(unquote(parts.path)))
    if parts.scheme in {"smtp", "smtps"}:
        return Smtp(parts)
    if url:
        raise ValueError(f"SWITCHYARD_MAIL_URL: {parts.scheme} is neither smtp, smtps nor file")
    return None


_AUTH = identity.service_principal("auth", None)
