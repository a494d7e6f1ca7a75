"""Letters: written with the transaction, sealed while they wait, sent once by whichever process."""

import asyncio
import contextlib
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from chassis import clock, embedded, errors, identity
from chassis.testing import Databases
from services.auth.letters import KINDS, Letters
from services.auth.letters_worded import worded
from services.auth.post import Post, carrier
from services.auth.tests.support import Auth, superuser, vault

AUTH = identity.service_principal("auth", None)
TOKEN = "pwr_the-token-of-a-letter"


class MailServer:
    """A mail server that keeps what it takes; `answers` are given to the next letters instead of taking them."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        if self.answers:
            return self.answers.pop(0)
        self.taken.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 taken"


@asynccontextmanager
async def mail_server(who: str = "", **more: Any) -> AsyncIterator[tuple[MailServer, str]]:
    handler = MailServer()
    controller = Controller(handler, hostname="127.0.0.1", port=embedded.free_ports(1)[0], **more)
    await asyncio.to_thread(controller.start)
    try:
        yield handler, f"smtp://{who}127.0.0.1:{controller.port}"
    finally:
        await asyncio.to_thread(controller.stop)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody trusts yet, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def secured(certificate: Path) -> dict[str, Any]:
    """What makes a mail server insist on STARTTLS and on a password."""

    def known(_server: object, _session: object, _envelope: object, _mechanism: str, given: Any) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (b"auth", b"p@ss"))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": known}


async def written(auth: Auth, to: str = "", **more: Any) -> tuple[Letters, str]:
    """A letter that waits, and whom it is for."""
    safe = vault(auth)
    await safe.load()
    letters, to = Letters(safe), to or f"{uuid7()}@north.example"
    async with auth.running.service.database.transaction(AUTH) as session:
        await letters.write(session, to=to, kind=more.pop("kind", "password_reset"), name="Mira", token=TOKEN, **more)
    return letters, to


def post(auth: Auth, letters: Letters, url: str) -> Post:
    settings: Any = auth.running.service.settings
    return Post(
        auth.running.service.database,
        letters._vault,
        letters,
        settings.model_copy(update={"mail_url": SecretStr(url), "mail_from": ""}),
    )


async def waiting(databases: Databases, letters: Letters, auth: Auth) -> int:
    async with superuser(databases) as connection:
        found: int = await connection.fetchval("SELECT count(*) FROM letters")
    return found


@pytest.fixture(autouse=True)
async def no_others(auth: Auth, databases: Databases) -> None:
    """Letters of other tests do not come into the way."""
    async with superuser(databases) as connection:
        await connection.execute("DELETE FROM letters")


class TestWrite:
    async def test_nothing_of_it_can_be_read_while_it_waits(self, auth: Auth, databases: Databases) -> None:
        _, to = await written(auth)

        async with superuser(databases) as connection:
            row = str(await connection.fetchrow("SELECT l.*, encode(sealed, 'escape') FROM letters l"))
        assert to not in row
        assert TOKEN not in row

    async def test_it_is_gone_with_the_transaction(self, auth: Auth, databases: Databases) -> None:
        letters, _ = await written(auth)

        with contextlib.suppress(errors.NotFound):
            async with auth.running.service.database.transaction(AUTH) as session:
                await letters.write(session, to="x@north.example", kind="password_reset")
                raise errors.NotFound

        assert await waiting(databases, letters, auth) == 1


class TestSend:
    async def test_a_mail_server_gets_it_once(self, auth: Auth, databases: Databases) -> None:
        letters, to = await written(auth)

        async with mail_server() as (server, url):
            await post(auth, letters, url).send()
            await post(auth, letters, url).send()

        (message,) = server.taken
        assert (message["To"], message["Subject"]) == (to, "Set a new password")
        assert TOKEN in message.get_content()
        assert await waiting(databases, letters, auth) == 0

    async def test_many_processes_send_each_letter_once(self, auth: Auth) -> None:
        recipients = []
        for _ in range(5):
            letters, to = await written(auth)
            recipients.append(to)

        async with mail_server() as (server, url):
            await asyncio.gather(*(post(auth, letters, url).send() for _ in range(8)))

        assert sorted(str(message["To"]) for message in server.taken) == sorted(recipients)

    async def test_a_busy_server_is_asked_again_later(self, auth: Auth) -> None:
        letters, _ = await written(auth)

        async with mail_server() as (server, url):
            server.answers = ["451 not now", "451 not now"]
            await post(auth, letters, url).send()
            at_once = len(server.answers)
            with clock.shifted(timedelta(seconds=6)):
                await post(auth, letters, url).send()
            with clock.shifted(timedelta(seconds=30)):
                await post(auth, letters, url).send()

        assert at_once == 1
        assert len(server.taken) == 1

    async def test_a_server_that_is_away_is_asked_again_later(self, auth: Auth) -> None:
        letters, _ = await written(auth)
        await post(auth, letters, f"smtp://127.0.0.1:{embedded.free_ports(1)[0]}").send()

        async with mail_server() as (server, url):
            with clock.shifted(timedelta(seconds=6)):
                await post(auth, letters, url).send()

        assert len(server.taken) == 1

    async def test_a_refused_letter_is_given_up(self, auth: Auth, databases: Databases) -> None:
        letters, _ = await written(auth)

        async with mail_server() as (server, url):
            server.answers = ["550 no such person"]
            await post(auth, letters, url).send()

        assert await waiting(databases, letters, auth) == 0

    async def test_a_process_that_dies_while_it_sends_leaves_it_to_another(self, auth: Auth) -> None:
        letters, _ = await written(auth)
        async with auth.running.service.database.transaction(AUTH) as session:
            await letters.take(session)

        async with mail_server() as (server, url):
            await post(auth, letters, url).send()
            meanwhile = len(server.taken)
            with clock.shifted(timedelta(minutes=3)):
                await post(auth, letters, url).send()

        assert (meanwhile, len(server.taken)) == (0, 1)

    @pytest.mark.parametrize("to", ["a@b.example\r\nBcc: everybody@north.example", "nobody", "a b@north.example"])
    async def test_an_address_that_is_none_is_given_up(self, auth: Auth, databases: Databases, to: str) -> None:
        letters, _ = await written(auth, to)

        async with mail_server() as (server, url):
            await post(auth, letters, url).send()

        assert server.taken == []
        assert await waiting(databases, letters, auth) == 0

    async def test_a_folder_gets_a_file(self, auth: Auth, tmp_path: Path) -> None:
        letters, to = await written(auth)

        await post(auth, letters, (tmp_path / "mail").as_uri()).send()

        (file,) = (tmp_path / "mail").iterdir()
        assert email.message_from_bytes(file.read_bytes(), policy=email.policy.default)["To"] == to

    def test_another_kind_of_url_stops_the_start(self) -> None:
        with pytest.raises(ValueError, match="neither smtp, smtps nor file"):
            carrier("http://mail.example")


class TestStartTls:
    async def test_it_is_used_where_it_is_offered(
        self, auth: Auth, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        letters, to = await written(auth)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

        async with mail_server("auth:p%40ss@", **secured(certificate)) as (server, url):
            await post(auth, letters, url).send()

        assert [str(message["To"]) for message in server.taken] == [to]

    async def test_a_server_that_is_not_trusted_gets_nothing(
        self, auth: Auth, certificate: Path, databases: Databases
    ) -> None:
        letters, _ = await written(auth)

        async with mail_server("auth:p%40ss@", **secured(certificate)) as (server, url):
            await post(auth, letters, url).send()

        assert server.taken == []
        assert await waiting(databases, letters, auth) == 1


class TestWords:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_a_kind_has_words_even_if_little_is_told(self, auth: Auth, kind: str) -> None:
        letters, _ = await written(auth, kind=kind)
        async with auth.running.service.database.transaction(AUTH) as session:
            letter = await letters.take(session)

        assert letter is not None
        subject, body = worded(letter, "https://suite.example")
        assert "{" not in subject + body
        assert "https://suite.example" in body

    async def test_what_others_wrote_stays_one_short_line(self, auth: Auth) -> None:
        letters, _ = await written(auth, kind="invitation", told={"tenant": "North\n\nClick {token} {by}" + "x" * 500})
        async with auth.running.service.database.transaction(AUTH) as session:
            letter = await letters.take(session)

        assert letter is not None
        subject, _body = worded(letter, "https://suite.example")
        assert subject.startswith("You are invited to North Click {token} {by}xxx")
        assert len(subject) < 125
