"""A process's own standing: the keys that verify passes, and passes of its own, both from `auth`."""

import time
from collections.abc import Mapping
from uuid import UUID

import grpc.aio
from google.protobuf import json_format
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc

from chassis import errors
from chassis.identity import Principal
from chassis.rpc import client

DEADLINE_S = 5.0
# A pass is asked for anew this long before it ends, in seconds.
MARGIN_S = 10.0


class Credentials:
    """Talks to `auth` at its fixed address, so that identity does not hang on the registry (nor the reverse)."""

    def __init__(self, auth_address: str, credential: str) -> None:
        self._channel = grpc.aio.insecure_channel(auth_address, options=client.OPTIONS)
        self._stub = auth_pb2_grpc.AuthServiceStub(self._channel)
        self._credential = credential
        self._passes: dict[UUID | None, tuple[str, float]] = {}

    async def keys(self) -> Mapping[str, object]:
        """The public keys, as a JSON Web Key Set. Raises an `Error` when auth is away."""
        try:
            found = await self._stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=DEADLINE_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as failure:
            raise errors.from_rpc_error(failure) from failure
        keys: Mapping[str, object] = json_format.MessageToDict(found)
        return keys

    async def issue(self, principal: Principal) -> str:
        """A pass of this service's own, limited to the principal's tenant."""
        return await self.for_tenant(principal.tenant_id)

    async def for_tenant(self, tenant_id: UUID | None) -> str:
        """A pass of this service's own for one tenant, or for the platform."""
        token, ends_at = self._passes.get(tenant_id, ("", 0.0))
        if ends_at - MARGIN_S > time.time():
            return token
        request = auth_pb2.ExchangeTokenRequest(credential=self._credential, tenant_id=str(tenant_id or ""))
        try:
            issued = await self._stub.ExchangeToken(request, timeout=DEADLINE_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as failure:
            raise errors.from_rpc_error(failure) from failure
        self._passes[tenant_id] = (issued.token, issued.expires_at.seconds)
        return issued.token

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
