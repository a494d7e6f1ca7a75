"""What is left of roles and scopes is what both allow, permission by permission."""

from hypothesis import given
from hypothesis import strategies as st

from chassis.identity import Principal
from services.auth import scopes

_services = st.sampled_from(["orders", "inventory", "auth"])
_verbs = st.sampled_from(["read", "write", "create"])
_permissions = st.builds(lambda service, verb: f"{service}.things.{verb}", _services, _verbs) | st.builds(
    lambda service, verb: f"{service}.{verb}", _services, _verbs
)
_patterns = (
    _permissions
    | st.just("*")
    | st.builds(lambda service: f"{service}.*", _services)
    | st.builds(lambda verb: f"*.{verb}", _verbs)
)


def _may(granted: frozenset[str], permission: str) -> bool:
    return Principal("user", "1", None, permissions=granted).may(permission)


class TestLimited:
    @given(st.frozensets(_patterns), st.frozensets(_patterns), _permissions)
    def test_is_what_both_allow(self, held: frozenset[str], wanted: frozenset[str], permission: str) -> None:
        both = scopes.limited(held, wanted)

        assert _may(both, permission) == (_may(held, permission) and _may(wanted, permission))

    def test_a_pattern_leaves_nothing_of_the_platforms(self) -> None:
        held = frozenset({"platform.tenants.read", "*"})

        assert scopes.limited(held, {"*"}) == {"*"}
        assert "platform.tenants.read" not in scopes.limited(held, {"platform.*"})
        assert scopes.limited(frozenset({"*"}), {"registry.write", "platform.tenants.read"}) == frozenset()
