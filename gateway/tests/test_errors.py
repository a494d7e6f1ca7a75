"""gRPC statuses as problem documents."""

import json
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from chassis import errors as chassis_errors
from gateway import errors
from gateway.errors import Problem

SECRETS = ["ipv4:10.0.0.1:5051", 'SELECT * FROM "orders"', "Traceback (most recent call last)"]


def problem_of(error: chassis_errors.Error, *, body: str = "") -> Problem:
    status = chassis_errors.to_status(error)
    return errors.from_rpc(status.code, status.message, status.SerializeToString(), body=body)


def document(problem: Problem) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(problem.body(request_id="r1", trace_id="t1"))
    return found


class TestFromRpc:
    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (chassis_errors.Invalid(), 422, "VALIDATION_FAILED"),
            (chassis_errors.Unauthenticated(), 401, "UNAUTHENTICATED"),
            (chassis_errors.Unauthenticated(code="TOKEN_EXPIRED"), 401, "TOKEN_EXPIRED"),
            (chassis_errors.Denied(), 403, "PERMISSION_DENIED"),
            (chassis_errors.NotFound(), 404, "NOT_FOUND"),
            (chassis_errors.AlreadyExists(), 409, "ALREADY_EXISTS"),
            (chassis_errors.Conflict(), 409, "CONFLICT"),
            (chassis_errors.Conflict(code="INSUFFICIENT_STOCK"), 409, "INSUFFICIENT_STOCK"),
            (chassis_errors.FailedPrecondition(), 409, "FAILED_PRECONDITION"),
            (chassis_errors.InvalidTransition(), 409, "INVALID_STATE_TRANSITION"),
            (chassis_errors.StaleVersion(), 412, "STALE_VERSION"),
            (chassis_errors.FailedPrecondition(code="PRECONDITION_REQUIRED"), 428, "PRECONDITION_REQUIRED"),
            (chassis_errors.FailedPrecondition(code="IDEMPOTENCY_KEY_REQUIRED"), 400, "IDEMPOTENCY_KEY_REQUIRED"),
            (chassis_errors.FailedPrecondition(code="IDEMPOTENCY_KEY_REUSED"), 422, "IDEMPOTENCY_KEY_REUSED"),
            (chassis_errors.Exhausted(), 429, "RATE_LIMITED"),
            (chassis_errors.Exhausted(code="OVERLOADED"), 503, "OVERLOADED"),
            (chassis_errors.Unavailable(), 503, "UNAVAILABLE"),
            (chassis_errors.DeadlineExceeded(), 504, "DEADLINE_EXCEEDED"),
            (chassis_errors.Internal(), 500, "INTERNAL"),
        ],
    )
    def test_each_class_has_its_status_and_code(self, error: chassis_errors.Error, status: int, code: str) -> None:
        problem = problem_of(error)

        assert (problem.status, problem.code) == (status, code)
        assert document(problem)["status"] == status

    @pytest.mark.parametrize("status", list(grpc.StatusCode))
    def test_every_grpc_status_has_an_answer(self, status: grpc.StatusCode) -> None:
        problem = errors.from_rpc(status.value[0], "", None)

        assert 400 <= problem.status <= 599

    @pytest.mark.parametrize("secret", SECRETS)
    @pytest.mark.parametrize(
        "status",
        [
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.DATA_LOSS,
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.UNIMPLEMENTED,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ],
    )
    def test_what_a_library_or_a_bug_says_is_not_shown(self, status: grpc.StatusCode, secret: str) -> None:
        problem = errors.from_rpc(status.value[0], secret, None)

        assert secret.encode() not in problem.body(request_id="r", trace_id="t")

    def test_an_internal_error_says_nothing_even_with_details(self) -> None:
        problem = problem_of(chassis_errors.Internal("SELECT 1", fields={"sql": ["SELECT 1"]}))

        assert document(problem)["message"] == "internal error"
        assert document(problem)["details"] == {}

    def test_violations_are_relative_to_the_body(self) -> None:
        fields = {"item.lines[0].quantity": ["must be at least 1", "must be even"], "item": ["is required"]}

        problem = problem_of(chassis_errors.Invalid(fields=fields), body="item")

        assert problem.details == {"lines.0.quantity": ["must be at least 1", "must be even"], "body": ["is required"]}

    def test_map_keys_are_dotted(self) -> None:
        problem = problem_of(chassis_errors.Invalid(fields={'labels["a"].x': ["no"]}), body="*")

        assert problem.details == {"labels.a.x": ["no"]}

    def test_a_denial_names_the_permission(self) -> None:
        problem = problem_of(chassis_errors.Denied.missing("pets.write"))

        assert problem.details == {"permission": ["pets.write"]}

    def test_a_denied_field_is_named(self) -> None:
        problem = problem_of(chassis_errors.Denied.missing("pets.prices.write", field="pet.price"), body="pet")

        assert problem.details == {"price": ["requires pets.prices.write"]}

    def test_allowed_transitions_are_a_list(self) -> None:
        problem = problem_of(chassis_errors.InvalidTransition.between("queued", "done", ["preparing", "cancelled"]))

        assert document(problem)["allowed_transitions"] == ["preparing", "cancelled"]

    def test_a_final_state_allows_nothing(self) -> None:
        problem = problem_of(chassis_errors.InvalidTransition.between("done", "queued", []))

        assert document(problem)["allowed_transitions"] == []

    def test_retry_info_is_retry_after_rounded_up(self) -> None:
        problem = problem_of(chassis_errors.Exhausted(retry_after_s=1.2))

        assert problem.headers["retry-after"] == "2"

    def test_a_business_rule_is_not_worth_a_retry_and_a_race_is(self) -> None:
        assert document(problem_of(chassis_errors.Conflict(code="INSUFFICIENT_STOCK")))["retryable"] is False
        assert document(problem_of(chassis_errors.Conflict()))["retryable"] is True
        contention = chassis_errors.Conflict(code="CONTENTION", retry_after_s=0.1)
        assert document(problem_of(contention))["retryable"] is True

    def test_rubbish_details_leave_the_status(self) -> None:
        problem = errors.from_rpc(grpc.StatusCode.NOT_FOUND.value[0], "no such pet", b"\xff\xff rubbish")

        assert (problem.status, problem.message) == (404, "no such pet")

    def test_a_reason_that_is_no_code_is_not_shown(self) -> None:
        packed = Packed()
        packed.Pack(error_details_pb2.ErrorInfo(reason="<script>"))
        status = status_pb2.Status(code=5, message="x", details=[packed])

        problem = errors.from_rpc(5, "x", status.SerializeToString())

        assert problem.code == "NOT_FOUND"

    def test_a_dump_is_cut(self) -> None:
        problem = errors.from_rpc(5, "x" * 10_000, None)

        assert len(problem.message) == errors.MESSAGE_LEN_MAX

    def test_a_foreign_delay_of_another_sort_is_read(self) -> None:
        packed = Packed()
        packed.Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=7)))
        status = status_pb2.Status(code=14, details=[packed])

        problem = errors.from_rpc(14, "connect to 10.0.0.1 failed", status.SerializeToString())

        assert problem.headers["retry-after"] == "7"
        assert "10.0.0.1" not in problem.message


class TestProblem:
    def test_the_document_has_every_member(self) -> None:
        found = document(Problem("NOT_FOUND"))

        assert found == {
            "type": "urn:switchyard:problem:not-found",
            "title": "Not found",
            "status": 404,
            "code": "NOT_FOUND",
            "message": "not found",
            "details": {},
            "request_id": "r1",
            "trace_id": "t1",
            "retryable": False,
        }

    def test_401_carries_a_challenge(self) -> None:
        assert Problem("UNAUTHENTICATED").headers["www-authenticate"].startswith("Bearer")
        assert "invalid_token" in Problem("TOKEN_EXPIRED").headers["www-authenticate"]

    def test_405_names_the_methods(self) -> None:
        assert errors.method_not_allowed(["POST", "GET"]).headers["allow"] == "GET, POST"

    def test_503_says_when_to_come_back(self) -> None:
        assert Problem("UNAVAILABLE").headers["retry-after"] == "1"

    def test_all_are_problem_documents(self) -> None:
        assert {Problem(code).headers["content-type"] for code in errors.KINDS} == {"application/problem+json"}
