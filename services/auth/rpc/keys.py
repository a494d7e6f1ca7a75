"""The edge of the platform's keys."""

from collections.abc import Sequence
from typing import ClassVar

from google.protobuf.descriptor import ServiceDescriptor
from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.auth.v1 import keys_pb2

from chassis import audit, clock
from chassis.encryption import Generation, Vault
from chassis.rpc.server import transactional
from services.auth import keys, store
from services.auth.keys import Keyring
from services.auth.models import SigningKey

ENCRYPTION_ALG = "AES256_GCM_SIV"


class KeysRpc:
    """Serves `switchyard.auth.v1.KeysService`."""

    service: ClassVar[ServiceDescriptor] = keys_pb2.DESCRIPTOR.services_by_name["KeysService"]

    def __init__(self, *, vault: Vault, keyring: Keyring) -> None:
        self._vault = vault
        self._keyring = keyring

    @transactional
    async def ListKeys(self, _request: keys_pb2.ListKeysRequest, session: AsyncSession) -> keys_pb2.ListKeysResponse:
        return keys_pb2.ListKeysResponse(keys=await self._all(session))

    @transactional
    async def RotateKeys(
        self, request: keys_pb2.RotateKeysRequest, session: AsyncSession
    ) -> keys_pb2.RotateKeysResponse:
        before = await self._all(session)
        if request.encryption or not request.signing:
            await self._vault.rotate(session, at_once=request.at_once)
        if request.signing or not request.encryption:
            await self._keyring.rotate(session, at_once=request.at_once)
        after = await self._all(session)
        audit.changed(session, "keys", before=_told(before), after=_told(after))
        return keys_pb2.RotateKeysResponse(keys=after)

    async def _all(self, session: AsyncSession) -> list[keys_pb2.Key]:
        rows = await store.signing_keys(session)
        found = [_signing(row) for alg in (*keys.PUBLISHED, keys.SECRET) for row in rows if row.alg == alg]
        found += [_encryption(generation) for generation in await self._vault.read(session)]
        used = set()
        for key in found:
            if key.used_from.ToMicroseconds() > clock.now().timestamp() * 1e6:
                key.state = keys_pb2.KEY_STATE_PUBLISHED
            elif key.alg not in used:
                key.state = keys_pb2.KEY_STATE_IN_USE
                used.add(key.alg)
        return found


def _signing(row: SigningKey) -> keys_pb2.Key:
    # Nobody needs the name of what is never published.
    kid = row.kid if row.alg in keys.PUBLISHED else ""
    key = keys_pb2.Key(use=keys_pb2.KEY_USE_SIGNING, alg=row.alg, generation=row.generation, kid=kid)
    key.state = keys_pb2.KEY_STATE_KEPT
    key.created_at.FromDatetime(row.created_at)
    key.used_from.FromDatetime(row.used_from)
    return key


def _encryption(generation: Generation) -> keys_pb2.Key:
    key = keys_pb2.Key(use=keys_pb2.KEY_USE_ENCRYPTION, alg=ENCRYPTION_ALG, generation=generation.number)
    key.state = keys_pb2.KEY_STATE_RETIRED if generation.retired_at else keys_pb2.KEY_STATE_KEPT
    key.created_at.FromDatetime(generation.created_at)
    key.used_from.FromDatetime(generation.used_from)
    return key


def _told(found: Sequence[keys_pb2.Key]) -> dict[str, object]:
    """The generations of each algorithm, for the trail."""
    return {key.alg: [each.generation for each in found if each.alg == key.alg] for key in found}
