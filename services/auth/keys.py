"""Signing keys: made at the first start, kept in the vault, shared by all auth processes, followed by newer ones.

There are three kinds: Ed25519 signs passes and access tokens; RS256 signs ID tokens, since every OpenID Connect client
knows it; HS256 is a secret that is never published, from which refresh tokens are derived.

A key is published for a while before it signs, and for a while after: every process, and everybody who keeps the key
set, knows it in time. The table's generations decide which process makes the next key.

After a theft there is no while: `rotate(at_once=True)` drops the keys at once, and with them everything they signed.
Sessions live on, since a refresh token is no signature; their clients refresh.
"""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import orjson
from joserfc.jwk import Key, KeySet, OctKey, OKPKey, RSAKey
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import clock, errors, identity
from chassis.encryption import Vault
from services.auth import store
from services.auth.models import SigningKey

PASSES = identity.ALGORITHM
ID_TOKENS = "RS256"
SECRET = "HS256"  # noqa: S105 - the algorithm's name
PUBLISHED = (PASSES, ID_TOKENS)
# A process looks for new keys this often, in seconds.
RELOAD_S = 5.0
# The key set is kept for a minute by the gateway and, after that, for another by its clients.
PUBLISHED_BEFORE = timedelta(seconds=180)
ROTATED_AFTER = timedelta(days=30)
# What a key signed has long ended; an ID token may be shown as a hint at sign-out later than that.
KEPT_AFTER = timedelta(days=1)
# Until 2030 by NIST SP 800-131A; a larger one signs three times slower.
_RSA_BITS = 2048
_MAKE: Mapping[str, Callable[[], Key]] = {
    PASSES: lambda: OKPKey.generate_key("Ed25519", auto_kid=False),
    ID_TOKENS: lambda: RSAKey.generate_key(_RSA_BITS, auto_kid=False),
    SECRET: lambda: OctKey.generate_key(256, auto_kid=False),
}
_KINDS: Mapping[str, type[Key]] = {PASSES: OKPKey, ID_TOKENS: RSAKey, SECRET: OctKey}


@dataclass(frozen=True)
class Kept:
    """A key and its row."""

    row: SigningKey
    key: Key


def about(alg: str, generation: int) -> str:
    """What the sealed key is bound to."""
    return f"signing_keys/{alg}/{generation}"


def opened(vault: Vault, row: SigningKey) -> Key:
    """The key of a row."""
    secret = orjson.loads(vault.open(row.sealed, about(row.alg, row.generation)))
    return _KINDS[row.alg].import_key(secret, parameters={"kid": row.kid, "alg": row.alg, "use": "sig"})


class Keyring:
    """The keys, as last loaded, and in whose name they sign what leaves the suite (`issuer`)."""

    def __init__(self, vault: Vault, issuer: str = identity.ISSUER) -> None:
        self.issuer = issuer.rstrip("/")
        self._vault = vault
        # By algorithm, newest first.
        self._keys: Mapping[str, Sequence[Kept]] = {}
        self._public = KeySet([])

    @property
    def signing(self) -> OKPKey:
        """What signs passes and access tokens. Raises `Unavailable` before `load`."""
        key = self._in_use(PASSES).key
        assert isinstance(key, OKPKey)
        return key

    @property
    def id_token_key(self) -> RSAKey:
        """What signs ID tokens. Raises `Unavailable` before `load`."""
        key = self._in_use(ID_TOKENS).key
        assert isinstance(key, RSAKey)
        return key

    @property
    def public(self) -> KeySet:
        """All published keys, to verify with. Raises `Unavailable` before `load`."""
        self._in_use(PASSES)
        return self._public

    @property
    def document(self) -> Sequence[dict[str, str]]:
        """The published keys as a JSON Web Key Set has them (RFC 7517). Raises `Unavailable` before `load`."""
        return [{name: str(value) for name, value in key.as_dict(private=False).items()} for key in self.public.keys]

    @property
    def kept(self) -> Sequence[SigningKey]:
        """The rows of all keys."""
        return [kept.row for keys in self._keys.values() for kept in keys]

    def in_use(self, alg: str) -> SigningKey:
        """The row of the key that signs now."""
        return self._in_use(alg).row

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for one purpose, the same in every process. Raises `Unavailable` before `load`."""
        key = self._in_use(SECRET).key
        assert isinstance(key, OctKey)
        return hmac.new(key.raw_value, purpose.encode(), hashlib.sha256).digest()

    async def loaded(self) -> bool:
        """Whether there are keys to sign with."""
        return bool(self._keys)

    async def wait(self) -> None:
        """Wait until keys can be opened."""
        await self._vault.wait()

    async def load(self, session: AsyncSession) -> None:
        """Read the keys, after making the first ones or the next ones when it is time. Needs the platform's session."""
        rows = await store.signing_keys(session)
        for alg in _KINDS:
            newest = next((row for row in rows if row.alg == alg), None)
            if newest is None:
                await self._add(session, alg, 1)
            elif alg in PUBLISHED and newest.created_at < clock.now() - ROTATED_AFTER:
                await self._add(session, alg, newest.generation + 1, published_before=PUBLISHED_BEFORE)
        await store.drop_signing_keys(session, succeeded_before=clock.now() - KEPT_AFTER)
        rows = await store.signing_keys(session)
        known = {kept.row.kid: kept.key for keys in self._keys.values() for kept in keys}
        # Opening an RSA key takes 30 ms, so it is done once.
        kept = [Kept(row, known.get(row.kid) or opened(self._vault, row)) for row in rows]
        self._keys = {alg: [each for each in kept if each.row.alg == alg] for alg in _KINDS}
        self._public = KeySet([each.key for alg in PUBLISHED for each in self._keys[alg]])

    async def rotate(self, session: AsyncSession, *, at_once: bool = False) -> None:
        """Make the next keys, unless a rotation is under way. Needs the platform's session.

        `at_once`: they sign now, the keys before them are gone, and what those signed is refused.
        """
        rows = await store.signing_keys(session)
        for alg in _KINDS if at_once else PUBLISHED:
            newest = next((row for row in rows if row.alg == alg), None)
            following = newest.generation + 1 if newest else 1
            if at_once:
                await self._add(session, alg, following)
                await store.drop_signing_keys_before(session, alg, following)
            elif newest is None or newest.used_from <= clock.now():
                await self._add(session, alg, following, published_before=PUBLISHED_BEFORE)

    async def _add(
        self, session: AsyncSession, alg: str, generation: int, *, published_before: timedelta = timedelta()
    ) -> None:
        """Make the key of a generation unless another process has."""
        # A prime number may take a while to find.
        key = await asyncio.to_thread(_MAKE[alg])
        row = {
            "tenant_id": identity.PLATFORM,
            "alg": alg,
            "generation": generation,
            "kid": secrets.token_urlsafe(16),
            "sealed": self._vault.seal(orjson.dumps(key.as_dict(private=True)), about(alg, generation)),
            "created_at": clock.now(),
            "used_from": clock.now() + published_before,
        }
        await store.add_signing_key(session, row)

    def _in_use(self, alg: str) -> Kept:
        keys = self._keys.get(alg)
        if not keys:
            message = "the signing keys are not loaded yet"
            raise errors.Unavailable(message, retry_after_s=1)
        now = clock.now()
        return next((kept for kept in keys if kept.row.used_from <= now), keys[-1])
