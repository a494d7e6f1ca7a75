"""What is known of a route before any request, and what its calls are charged to."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from prometheus_client import Histogram
from switchyard.common.v1 import http_pb2
from switchyard.options.v1 import policy_pb2

from gateway import foreign
from gateway.headers import CACHE
from gateway.limits import Bucket, Demand, demand
from gateway.passes import Pass
from gateway.routes import Route
from gateway.settings import Settings

# Demands of addresses that are kept ready.
ADDRESSES_MAX: Final = 10_000
# Ends of IPv6 addresses are changed at will within one customer's network.
IPV6_PREFIX: Final = 64

# As OpenTelemetry names and cuts it, but bound to its labels once: an OpenTelemetry instrument costs 15 µs a record.
DURATION: Final = Histogram(
    "http_server_request_duration_seconds",
    "Duration of HTTP requests.",
    ("http_request_method", "http_route", "http_response_status_code"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)

_READS: Final = frozenset({"GET", "HEAD"})
_CLASSES: Final[Mapping[int, str]] = {
    policy_pb2.RATE_CLASS_READ: "read",
    policy_pb2.RATE_CLASS_WRITE: "write",
    policy_pb2.RATE_CLASS_LOGIN: "login",
    policy_pb2.RATE_CLASS_PAYMENT: "payment",
    policy_pb2.RATE_CLASS_ADMIN: "admin",
}


class Operation:
    """One route's rules, read out of its contract."""

    __slots__ = (
        "_measures",
        "_template",
        "body",
        "cache_control",
        "cache_s",
        "changes",
        "deadline_s",
        "foreign",
        "goes_last",
        "idempotent",
        "parse",
        "path",
        "public",
        "rate_class",
        "raw",
        "read_permissions",
        "service",
        "takes_body",
        "transcoder",
    )

    def __init__(self, route: Route, *, is_foreign: bool = False) -> None:
        policy = route.policy
        reads = route.verb in _READS
        self.foreign = foreign.Rules(route) if is_foreign else None
        self.service = route.service
        self.path = route.path
        self.body = route.body
        self.raw = route.is_raw
        self.takes_body = not reads if self.raw else bool(route.body)
        self.transcoder = route.transcoder
        self.parse: Callable[[bytes], Any] = http_pb2.HttpResponse.FromString if self.raw else route.response.FromString
        self.public = policy.public
        self.changes = bool(policy.audit)
        self.idempotent = policy.idempotent or not policy.audit
        self.deadline_s = policy.deadline_s
        self.read_permissions = route.transcoder.read_permissions
        self.rate_class = _CLASSES.get(policy.rate_class, "read" if reads else "write")
        self.goes_last = self.rate_class == "admin"
        # What a raw answer depends on, nobody here can say.
        self.cache_s = policy.cache_seconds if reads and not self.raw else 0
        whose = b"public" if self.public else b"private"
        self.cache_control = (CACHE[0], b"%b, max-age=%d" % (whose, self.cache_s)) if self.cache_s else CACHE
        self._template = route.template
        self._measures: dict[tuple[str, int], Histogram] = {}

    def measure(self, verb: str, status: int, took_s: float) -> None:
        """Note how long a request took."""
        found = self._measures.get((verb, status))
        if found is None:
            found = self._measures[verb, status] = DURATION.labels(verb, self._template, status)
        found.observe(took_s)


class Charges:
    """Which buckets a call is charged to: its tenant's and its principal's; without a pass, its address's."""

    def __init__(self, settings: Settings) -> None:
        self._tenant = settings.limit_tenant
        self._rates = {
            "read": settings.limit_read,
            "write": settings.limit_write,
            "login": settings.limit_login,
            "payment": settings.limit_payment,
            "admin": settings.limit_admin,
            "public": settings.limit_public,
            "exchange": settings.limit_exchange,
        }
        self._by_address: OrderedDict[tuple[str, str], Demand] = OrderedDict()

    def of(self, operation: Operation, shown: Pass) -> Demand:
        """The charge of a call with a pass."""
        found = shown.demands.get(operation.rate_class)
        if found is None:
            found = shown.demands[operation.rate_class] = self._of(operation.rate_class, shown)
        return found

    def public(self, operation: Operation, address: str) -> Demand:
        """The charge of a call without a pass."""
        return self._of_address(address, "login" if operation.rate_class == "login" else "public")

    def exchange(self, address: str) -> Demand:
        """The charge of a credential that is not known yet."""
        return self._of_address(address, "exchange")

    def _of(self, rate_class: str, shown: Pass) -> Demand:
        principal = shown.principal
        tenant = str(principal.tenant)
        own = Bucket(rate_class, f"{tenant}:{principal.name}:{rate_class}", self._rates[rate_class])
        # What concerns the platform is nobody's share.
        return demand(own) if principal.tenant_id is None else demand(Bucket("tenant", tenant, self._tenant), own)

    def _of_address(self, address: str, rate_class: str) -> Demand:
        found = self._by_address.get((address, rate_class))
        if found is None:
            bucket = Bucket(rate_class, f"{_network(address)}:{rate_class}", self._rates[rate_class])
            found = self._by_address[address, rate_class] = demand(bucket)
            if len(self._by_address) > ADDRESSES_MAX:
                self._by_address.popitem(last=False)
        return found


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network(f"{address.partition('%')[0]}/{IPV6_PREFIX}", strict=False))
    except ValueError:
        return address
