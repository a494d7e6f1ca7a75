"""The names under which a call's circumstances travel beside its message."""

PASS = "switchyard-pass"  # noqa: S105 - a name
ON_BEHALF_OF = "switchyard-on-behalf-of"
# Who acts in the name of whom the call is made for, when somebody does.
ACTOR = "switchyard-actor"
REQUEST_ID = "switchyard-request-id"
IDEMPOTENCY_KEY = "switchyard-idempotency-key"
EXPECTED_VERSION = "switchyard-expected-version"
ADDRESS = "switchyard-client-address"
# Anything a client sends may hold any character: binary metadata.
USER_AGENT = "switchyard-user-agent-bin"
AUDIT_CONTEXT = "switchyard-audit-context-bin"
TRACEPARENT = "traceparent"
