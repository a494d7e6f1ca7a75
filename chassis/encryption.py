"""Secrets at rest: sealed with data keys that rotate while processes run, by Tink (AES-256-GCM-SIV).

The data keys are rows of the service's own table `encryption_keys`, one a generation, wrapped by a master key that only
the environment knows. A sealed value is the number of its generation (four bytes, big-endian) and Tink's ciphertext.

    vault = resealing.vault(service, Base, master=..., previous=...)
    row.seed = vault.seal(seed, f"totp/{row.user_id}")

A new generation is published a while before it seals, so that every process can open what any of them seals. What the
older ones sealed is sealed anew (`chassis.resealing`) and they are retired; they open for ever, so that a row which
comes back from a backup is not lost.

A new master key comes into use by starting all processes with it, and with the old one as `previous`: the first of
them wraps the data keys anew.
"""

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
import structlog
import tink
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from tink import aead, proto_keyset_format, secret_key_access
from tink.proto import aes_gcm_siv_pb2, tink_pb2

from chassis import clock, errors, identity
from chassis.db import Database

# A process looks for new keys this often, in seconds. One that could not for `STALE_S` no longer seals: the others may
# have agreed on a key it does not know.
RELOAD_S = 5.0
STALE_S = 20.0
PUBLISHED_BEFORE = timedelta(seconds=30)
RETRY_S = 0.25
GENERATION_BYTES = 4
_TEMPLATE = aead.aead_key_templates.AES256_GCM_SIV_RAW

log = structlog.get_logger()
aead.register()

_keys = sa.table(
    "encryption_keys",
    sa.column("tenant_id", sa.Uuid),
    sa.column("generation", sa.BigInteger),
    sa.column("sealed", sa.LargeBinary),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("used_from", sa.DateTime(timezone=True)),
    sa.column("retired_at", sa.DateTime(timezone=True)),
)


class Unreadable(Exception):
    """A sealed value that was changed, or that belongs to another row."""


class Generation(NamedTuple):
    """A data key, by its times."""

    number: int
    created_at: datetime
    used_from: datetime
    retired_at: datetime | None


class Vault:
    """Seals and opens, and keeps the data keys. `previous` is the master key before this one, or empty."""

    def __init__(self, database: Database, *, master: SecretStr, previous: SecretStr) -> None:
        self._database = database
        self._masters = [
            _master(secret.get_secret_value()) for secret in (master, previous) if secret.get_secret_value()
        ]
        self._primitives: dict[int, aead.Aead] = {}
        # Newest first.
        self._generations: list[Generation] = []
        self._loaded_at = float("-inf")
        self._unknown = asyncio.Event()
        self._first = asyncio.Event()

    def seal(self, plaintext: bytes, about: str) -> bytes:
        """A value bound to `about`, such as `totp/<user>`. Raises `Unavailable` while the keys cannot be looked at."""
        if time.monotonic() - self._loaded_at > STALE_S:
            message = "the encryption keys are not loaded"
            raise errors.Unavailable(message, retry_after_s=1)
        number = self.current.number
        ciphertext: bytes = self._primitives[number].encrypt(plaintext, about.encode())
        return number.to_bytes(GENERATION_BYTES, "big") + ciphertext

    def open(self, sealed: bytes, about: str) -> bytes:
        """What was sealed about the same. Raises `Unreadable`; `Unavailable` when its key is not known here yet."""
        primitive = self._primitives.get(int.from_bytes(sealed[:GENERATION_BYTES], "big"))
        if primitive is None:
            self._unknown.set()
            message = "the key of a sealed value is not loaded"
            raise errors.Unavailable(message, retry_after_s=1)
        try:
            plaintext: bytes = primitive.decrypt(sealed[GENERATION_BYTES:], about.encode())
        except tink.TinkError as failure:
            message = f"a sealed value is not about {about}"
            raise Unreadable(message) from failure
        return plaintext

    @property
    def current(self) -> Generation:
        """The generation that seals now. Raises `Unavailable` before the keys are loaded."""
        now = clock.now()
        if not self._generations:
            message = "the encryption keys are not loaded yet"
            raise errors.Unavailable(message, retry_after_s=1)
        # The oldest, when a clock here runs behind the one of the process that made it.
        return next((each for each in self._generations if each.used_from <= now), self._generations[-1])

    @property
    def generations(self) -> Sequence[Generation]:
        """All generations, newest first, as last loaded."""
        return self._generations

    async def loaded(self) -> bool:
        """Whether there is a key to seal with."""
        return bool(self._generations)

    async def wait(self) -> None:
        """Wait until there is one."""
        await self._first.wait()

    async def run(self) -> None:
        """Follow the keys that other processes make."""
        while True:
            self._unknown.clear()
            try:
                await self.load()
            except (errors.Error, Unreadable) as failure:
                log.warning("encryption_keys_delayed", error=repr(failure))
            await asyncio.sleep(RETRY_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._unknown.wait(), RELOAD_S if self._generations else 0)

    async def load(self) -> None:
        """Take over the keys, after making the first one. Raises `Unreadable` when no master key opens one of them."""
        began = time.monotonic()
        async with self._transaction() as session:
            rows = await _rows(session)
            if not rows:
                await self._add(session, 1, used_from=clock.now())
                rows = await _rows(session)
            for row in rows:
                if row.generation not in self._primitives:
                    self._primitives[row.generation] = await self._unwrap(session, row)
        self._generations = [_generation(row) for row in rows]
        self._loaded_at = began
        self._first.set()

    async def read(self, session: AsyncSession) -> list[Generation]:
        """All generations as they stand in the database, newest first. Needs the platform's session."""
        return [_generation(row) for row in await _rows(session)]

    async def rotate(self, session: AsyncSession, *, at_once: bool = False) -> int:
        """Make the next generation, or join the rotation that is under way; its number. Needs the platform's session.

        `at_once` does not wait until every process knows the key: for some seconds, a process that does not may refuse
        a call as `Unavailable`.
        """
        rows = await _rows(session)
        now = clock.now()
        newest = rows[0].generation if rows else 0
        if rows and rows[0].used_from > now and not at_once:
            return newest
        await self._add(session, newest + 1, used_from=now if at_once else now + PUBLISHED_BEFORE)
        return newest + 1

    async def retire(self, *, before: int) -> None:
        """Note that nothing is sealed any more under the generations before one. They open for ever."""
        older = _keys.c.generation < before, _keys.c.retired_at.is_(None)
        async with self._transaction() as session:
            await session.execute(sa.update(_keys).where(*older).values(retired_at=clock.now()))

    async def _add(self, session: AsyncSession, number: int, *, used_from: datetime) -> None:
        """Add a generation unless another process has."""
        values = {
            "tenant_id": identity.PLATFORM,
            "generation": number,
            "sealed": _wrap(tink.new_keyset_handle(_TEMPLATE), self._masters[0], number),
            "created_at": clock.now(),
            "used_from": used_from,
        }
        await session.execute(postgresql.insert(_keys).values(values).on_conflict_do_nothing())

    async def _unwrap(self, session: AsyncSession, row: Any) -> aead.Aead:
        for master in self._masters:
            try:
                handle = proto_keyset_format.parse_encrypted(row.sealed, master, _bound_to(row.generation))
            except tink.TinkError:
                continue
            if master is not self._masters[0]:
                same = _keys.c.generation == row.generation, _keys.c.sealed == row.sealed
                renewed = _wrap(handle, self._masters[0], row.generation)
                await session.execute(sa.update(_keys).where(*same).values(sealed=renewed))
            return handle.primitive(aead.Aead)
        message = f"the master key does not open encryption key {row.generation}"
        raise Unreadable(message)

    def _transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        return self._database.transaction(identity.service_principal(self._database.service, None))


async def _rows(session: AsyncSession) -> "Sequence[sa.Row[Any]]":
    return (await session.execute(sa.select(_keys).order_by(_keys.c.generation.desc()))).all()


def _generation(row: Any) -> Generation:
    return Generation(row.generation, row.created_at, row.used_from, row.retired_at)


def _bound_to(generation: int) -> bytes:
    return f"encryption_keys/{generation}".encode()


def _wrap(handle: tink.KeysetHandle, master: aead.Aead, generation: int) -> bytes:
    wrapped: bytes = proto_keyset_format.serialize_encrypted(handle, master, _bound_to(generation))
    return wrapped


def _master(secret: str) -> aead.Aead:
    """A cipher from a secret of any form: a keyset of the one key that is derived from it."""
    derived = hmac.new(secret.encode(), b"encryption-keys", hashlib.sha256).digest()
    key = tink_pb2.Keyset.Key(
        key_data=tink_pb2.KeyData(
            type_url=_TEMPLATE.type_url,
            value=aes_gcm_siv_pb2.AesGcmSivKey(key_value=derived).SerializeToString(),
            key_material_type=tink_pb2.KeyData.SYMMETRIC,
        ),
        status=tink_pb2.ENABLED,
        key_id=1,
        output_prefix_type=tink_pb2.RAW,
    )
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[key]).SerializeToString()
    return proto_keyset_format.parse(keyset, secret_key_access.TOKEN).primitive(aead.Aead)
