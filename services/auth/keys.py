"""Signing keys: made at the first start, kept encrypted, shared by all auth processes, followed by newer ones.

A key is published for a while before it signs, and for a while after: every process, and every service that keeps the
key set, knows it in time. The table's generations decide which process makes the next key.
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from joserfc.jwk import KeySet, OKPKey
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import clock, errors
from services.auth import store

# A process looks for new keys this often, in seconds, and a key signs only when all have looked.
RELOAD_S = 20.0
PUBLISHED_BEFORE = timedelta(seconds=3 * RELOAD_S)
ROTATED_AFTER = timedelta(days=30)
# The newest two are kept: what the older one signed has ended long before the next rotation.
KEPT = 2
_NONCE_BYTES = 12


def derive(master: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose."""
    return hmac.new(master.encode(), purpose.encode(), hashlib.sha256).digest()


class Keyring:
    """The keys, as last loaded."""

    def __init__(self, master: str) -> None:
        self._cipher = AESGCM(derive(master, "signing-keys"))
        # Newest first.
        self._keys: list[tuple[OKPKey, datetime]] = []

    @property
    def signing(self) -> OKPKey:
        """The newest key that has been published for long enough, or the oldest. Raises `Unavailable` before `load`."""
        self._require()
        ripe = clock.now() - PUBLISHED_BEFORE
        return next((key for key, created_at in self._keys if created_at <= ripe), self._keys[-1][0])

    @property
    def public(self) -> KeySet:
        """All keys, to verify with. Raises `Unavailable` before `load`."""
        self._require()
        return KeySet([key for key, _ in self._keys])

    async def loaded(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self._keys)

    async def load(self, session: AsyncSession) -> None:
        """Read the keys, after making the first one or the next one when it is time. Needs the platform's session."""
        newest = next(iter(await store.signing_keys(session)), None)
        if newest is None or newest.created_at < clock.now() - ROTATED_AFTER:
            await self._add(session, (newest.generation if newest else 0) + 1)
        self._keys = [(self._open(row.kid, row.sealed), row.created_at) for row in await store.signing_keys(session)]

    async def _add(self, session: AsyncSession, generation: int) -> None:
        key = OKPKey.generate_key("Ed25519", auto_kid=False)
        kid = key.thumbprint()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        secret = orjson.dumps(key.as_dict(private=True))
        sealed = nonce + self._cipher.encrypt(nonce, secret, kid.encode())
        await store.add_signing_key(session, generation=generation, kid=kid, sealed=sealed, now=clock.now())
        await store.drop_signing_keys(session, before=generation + 1 - KEPT)

    def _open(self, kid: str, sealed: bytes) -> OKPKey:
        secret = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], kid.encode())
        return OKPKey.import_key(orjson.loads(secret), parameters={"kid": kid})

    def _require(self) -> None:
        if not self._keys:
            message = "the signing keys are not loaded yet"
            raise errors.Unavailable(message, retry_after_s=1)
