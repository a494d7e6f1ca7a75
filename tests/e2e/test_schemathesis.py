"""schemathesis over the running gateway: whatever a client sends, it gets a documented answer."""

import asyncio
import sys
from pathlib import Path

import httpx
import pytest
from uuid_utils.compat import uuid7

from tests.e2e.conftest import ELSEWHERE, System, created

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Ending sessions ends those that all other operations are tried with, so it is tried by somebody for whom that is all.
SIGN_OUT = "logout|auth/sessions"
PASSWORD = "tall ships in the harbour"
# The service of another test, which it has stopped: its routes answer 503, as they should.
STOPPED = "greetings"


class TestSchemathesis:
    @pytest.mark.parametrize(
        "which", [("--exclude-path-regex", f"{SIGN_OUT}|{STOPPED}"), ("--include-path-regex", SIGN_OUT)]
    )
    async def test_every_answer_is_a_documented_one(
        self, system: System, admin: httpx.AsyncClient, which: tuple[str, str], tmp_path: Path
    ) -> None:
        person = {"email": f"{uuid7()}@cases.example", "name": "Case", "role": "admin", "password": PASSWORD}
        await created(admin, "/api/v1/users", person)
        signed_in = await admin.post("/api/v1/auth/login", json={"email": person["email"], "password": PASSWORD})
        token = signed_in.json()["data"]["access_token"]
        headers = {"Authorization": f"Bearer {token}", "X-Tenant-ID": system.tenant(), **ELSEWHERE}
        credential = [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
        # One worker: two threads that parse source at once can fail in Python 3.11, and Hypothesis parses.
        amount = ["--phases", "examples,coverage,fuzzing", "--max-examples", "3", "--workers", "1"]
        repeatable = ["--generation-deterministic", "--no-color", "--checks", CHECKS]
        program = str(Path(sys.executable).parent / "schemathesis")

        process = await asyncio.create_subprocess_exec(
            program,
            *("run", f"{system.url}/openapi.json", *credential, *amount, *repeatable, *which),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await process.communicate()

        assert process.returncode == 0, told.decode()[-20000:]
