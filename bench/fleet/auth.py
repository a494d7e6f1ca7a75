"""Stands in for auth: a credential is the name of a service, or one of those below, and what it says is believed.

What is measured is the registry; how its callers prove who they are is not.
"""

from typing import Any
from uuid import UUID

import grpc.aio
from google.protobuf import json_format
from joserfc.jwk import KeySet, OKPKey
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc
from uuid_utils.compat import uuid7

from chassis import clock, identity
from chassis.identity import PASS_LIFETIME_S, Principal

USER, OPERATOR = "user", "operator"
_USER_ID, _SESSION_ID = str(uuid7()), str(uuid7())
_PERMISSIONS = {USER: frozenset({"*"}), OPERATOR: frozenset({"platform.tenants.write"})}


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """Answers what processes ask of auth."""

    def __init__(self) -> None:
        self._key = OKPKey.generate_key("Ed25519", parameters={"kid": "bench"}, auto_kid=False)

    async def start(self) -> str:
        """Serve; the address."""
        self._server = grpc.aio.server()
        auth_pb2_grpc.add_AuthServiceServicer_to_server(self, self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def stop(self) -> None:
        await self._server.stop(0)

    def issue(self, credential: str, tenant_id: str = "") -> str:
        """A pass."""
        tenant = UUID(tenant_id) if tenant_id else None
        if credential not in _PERMISSIONS:
            return identity.sign_pass(identity.service_principal(credential, tenant), self._key)
        at = int(clock.now().timestamp())
        role = OPERATOR if credential == OPERATOR else "admin"
        permissions = _PERMISSIONS[credential]
        principal = Principal(
            "user", _USER_ID, tenant, _SESSION_ID, (role,), permissions, frozenset(), authenticated_at=at
        )
        return identity.sign_pass(principal, self._key)

    async def GetJwks(self, _request: Any, _context: Any) -> auth_pb2.Jwks:
        return json_format.ParseDict(KeySet([self._key]).as_dict(private=False), auth_pb2.Jwks())

    async def ExchangeToken(self, request: auth_pb2.ExchangeTokenRequest, _context: Any) -> auth_pb2.Pass:
        issued = auth_pb2.Pass(token=self.issue(request.credential, request.tenant_id))
        ends_at = int(clock.now().timestamp()) + PASS_LIFETIME_S
        issued.expires_at.seconds = ends_at
        issued.credential_expires_at.seconds = ends_at + 3600
        return issued
