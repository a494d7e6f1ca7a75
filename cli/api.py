"""A small client of the gateway's HTTP API, on the standard library alone."""

import http.client
import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, replace
from typing import Any

TIMEOUT_S = 10.0
# Tries of one call while the gateway says that it may be tried again, and the longest pause between two of them.
TRIES_MAX = 8
PAUSE_MAX_S = 5.0


class ApiError(Exception):
    """The API refused a call."""

    def __init__(self, status: int, problem: dict[str, Any], call: str) -> None:
        """Quote the problem document."""
        self.status = status
        self.code: str = problem.get("code", "")
        super().__init__(
            f"{call}: {status} {self.code} {problem.get('message', '')} {problem.get('details', '')}".strip()
        )


@dataclass(frozen=True)
class Api:
    """Calls as one principal in one tenant."""

    url: str
    token: str = ""
    tenant_id: str = ""

    def login(self, email: str, password: str) -> "Api":
        """Sign in and return a client with the account's access token. Raises ApiError."""
        answer = self.call("POST", "/api/v1/auth/login", {"email": email, "password": password})
        return replace(self, token=answer["access_token"])

    def in_tenant(self, tenant_id: str) -> "Api":
        """The same principal in a tenant."""
        return replace(self, tenant_id=tenant_id)

    def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Call and return the `data` of the answer (None for 204).

        What the gateway calls retryable is tried again, a few times and with the same idempotency key. Raises ApiError.
        """
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.tenant_id:
            headers["X-Tenant-ID"] = self.tenant_id
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - our own gateway
        for tried in range(1, TRIES_MAX + 1):
            try:
                with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - our own gateway
                    content = response.read()
                    return json.loads(content)["data"] if content else None
            except urllib.error.HTTPError as error:
                pause_s = _pause_s(error)
                problem = _problem(error)
                if pause_s is None or tried == TRIES_MAX:
                    raise ApiError(error.code, problem, f"{method} {path}") from None
                time.sleep(pause_s)
        raise AssertionError

    def list_all(self, path: str) -> list[dict[str, Any]]:
        """The first hundred of a list, which is more than the demo has of anything. Raises ApiError."""
        found: list[dict[str, Any]] = self.call("GET", f"{path}{'&' if '?' in path else '?'}page_size=100")
        return found


def _pause_s(error: urllib.error.HTTPError) -> float | None:
    """How long to wait before the next try; None when there should be none."""
    if error.code not in (http.client.TOO_MANY_REQUESTS, http.client.SERVICE_UNAVAILABLE):
        return None
    try:
        asked_s = float(error.headers.get("Retry-After", "1"))
    except ValueError:
        asked_s = 1.0
    return min(asked_s, PAUSE_MAX_S)


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        problem: dict[str, Any] = json.loads(error.read())
    except ValueError:
        return {}
    return problem


def answers(url: str) -> bool:
    """Say whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310 - our own processes
            return bool(response.status == http.client.OK)
    except (OSError, http.client.HTTPException):
        return False


def documented_services(url: str) -> set[str]:
    """The services whose operations the gateway documents: the tags of its OpenAPI document."""
    try:
        with urllib.request.urlopen(f"{url}/openapi.json", timeout=TIMEOUT_S) as response:  # noqa: S310 - our gateway
            document = json.load(response)
    except (OSError, http.client.HTTPException, ValueError):
        return set()
    operations = (operation for path in document.get("paths", {}).values() for operation in path.values())
    return {tag for operation in operations if isinstance(operation, dict) for tag in operation.get("tags", [])}
