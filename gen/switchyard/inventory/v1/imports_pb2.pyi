import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from switchyard.inventory.v1 import inventory_pb2 as _inventory_pb2
from switchyard.options.v1 import policy_pb2 as _policy_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_POLICY_UNSPECIFIED: _ClassVar[ErrorPolicy]
    ERROR_POLICY_REJECT_ALL: _ClassVar[ErrorPolicy]
    ERROR_POLICY_KEEP_GOOD: _ClassVar[ErrorPolicy]

class RowOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROW_OUTCOME_UNSPECIFIED: _ClassVar[RowOutcome]
    ROW_OUTCOME_APPLIED: _ClassVar[RowOutcome]
    ROW_OUTCOME_REJECTED: _ClassVar[RowOutcome]
    ROW_OUTCOME_NOT_APPLIED: _ClassVar[RowOutcome]

class ImportState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IMPORT_STATE_UNSPECIFIED: _ClassVar[ImportState]
    IMPORT_STATE_RECEIVING: _ClassVar[ImportState]
    IMPORT_STATE_QUEUED: _ClassVar[ImportState]
    IMPORT_STATE_RUNNING: _ClassVar[ImportState]
    IMPORT_STATE_SUCCEEDED: _ClassVar[ImportState]
    IMPORT_STATE_FAILED: _ClassVar[ImportState]
ERROR_POLICY_UNSPECIFIED: ErrorPolicy
ERROR_POLICY_REJECT_ALL: ErrorPolicy
ERROR_POLICY_KEEP_GOOD: ErrorPolicy
ROW_OUTCOME_UNSPECIFIED: RowOutcome
ROW_OUTCOME_APPLIED: RowOutcome
ROW_OUTCOME_REJECTED: RowOutcome
ROW_OUTCOME_NOT_APPLIED: RowOutcome
IMPORT_STATE_UNSPECIFIED: ImportState
IMPORT_STATE_RECEIVING: ImportState
IMPORT_STATE_QUEUED: ImportState
IMPORT_STATE_RUNNING: ImportState
IMPORT_STATE_SUCCEEDED: ImportState
IMPORT_STATE_FAILED: ImportState

class ItemChange(_message.Message):
    __slots__ = ("id", "version", "sku", "name", "category", "supplier", "low_stock_threshold", "allow_backorder")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SUPPLIER_FIELD_NUMBER: _ClassVar[int]
    LOW_STOCK_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    ALLOW_BACKORDER_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    sku: str
    name: str
    category: str
    supplier: str
    low_stock_threshold: int
    allow_backorder: bool
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ..., sku: _Optional[str] = ..., name: _Optional[str] = ..., category: _Optional[str] = ..., supplier: _Optional[str] = ..., low_stock_threshold: _Optional[int] = ..., allow_backorder: _Optional[bool] = ...) -> None: ...

class ItemDeletion(_message.Message):
    __slots__ = ("id", "version")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: int
    def __init__(self, id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ItemOperation(_message.Message):
    __slots__ = ("create", "update", "delete")
    CREATE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    create: _inventory_pb2.Item
    update: ItemChange
    delete: ItemDeletion
    def __init__(self, create: _Optional[_Union[_inventory_pb2.Item, _Mapping]] = ..., update: _Optional[_Union[ItemChange, _Mapping]] = ..., delete: _Optional[_Union[ItemDeletion, _Mapping]] = ...) -> None: ...

class BatchItemsRequest(_message.Message):
    __slots__ = ("error_policy", "operations")
    ERROR_POLICY_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    error_policy: ErrorPolicy
    operations: _containers.RepeatedCompositeFieldContainer[ItemOperation]
    def __init__(self, error_policy: _Optional[_Union[ErrorPolicy, str]] = ..., operations: _Optional[_Iterable[_Union[ItemOperation, _Mapping]]] = ...) -> None: ...

class FieldProblem(_message.Message):
    __slots__ = ("field", "reason")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    field: str
    reason: str
    def __init__(self, field: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ItemOperationResult(_message.Message):
    __slots__ = ("position", "outcome", "item_id", "version", "code", "message", "details")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    position: int
    outcome: RowOutcome
    item_id: str
    version: int
    code: str
    message: str
    details: _containers.RepeatedCompositeFieldContainer[FieldProblem]
    def __init__(self, position: _Optional[int] = ..., outcome: _Optional[_Union[RowOutcome, str]] = ..., item_id: _Optional[str] = ..., version: _Optional[int] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Iterable[_Union[FieldProblem, _Mapping]]] = ...) -> None: ...

class BatchItemsResponse(_message.Message):
    __slots__ = ("results", "applied", "rejected")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[ItemOperationResult]
    applied: int
    rejected: int
    def __init__(self, results: _Optional[_Iterable[_Union[ItemOperationResult, _Mapping]]] = ..., applied: _Optional[int] = ..., rejected: _Optional[int] = ...) -> None: ...

class Import(_message.Message):
    __slots__ = ("id", "state", "name", "chunks", "chunks_received", "rows", "rows_done", "created", "updated", "unchanged", "rejected", "percent", "failure", "created_by", "created_at", "finished_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    ROWS_DONE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: ImportState
    name: str
    chunks: int
    chunks_received: int
    rows: int
    rows_done: int
    created: int
    updated: int
    unchanged: int
    rejected: int
    percent: int
    failure: str
    created_by: str
    created_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[ImportState, str]] = ..., name: _Optional[str] = ..., chunks: _Optional[int] = ..., chunks_received: _Optional[int] = ..., rows: _Optional[int] = ..., rows_done: _Optional[int] = ..., created: _Optional[int] = ..., updated: _Optional[int] = ..., unchanged: _Optional[int] = ..., rejected: _Optional[int] = ..., percent: _Optional[int] = ..., failure: _Optional[str] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ImportItemsRequest(_message.Message):
    __slots__ = ("name", "csv", "chunks")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CSV_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    csv: str
    chunks: int
    def __init__(self, name: _Optional[str] = ..., csv: _Optional[str] = ..., chunks: _Optional[int] = ...) -> None: ...

class PutImportChunkRequest(_message.Message):
    __slots__ = ("id", "number", "csv")
    ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CSV_FIELD_NUMBER: _ClassVar[int]
    id: str
    number: int
    csv: str
    def __init__(self, id: _Optional[str] = ..., number: _Optional[int] = ..., csv: _Optional[str] = ...) -> None: ...

class ListImportsRequest(_message.Message):
    __slots__ = ("page_size", "cursor")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    cursor: str
    def __init__(self, page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ListImportsResponse(_message.Message):
    __slots__ = ("imports", "next_cursor")
    IMPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    imports: _containers.RepeatedCompositeFieldContainer[Import]
    next_cursor: str
    def __init__(self, imports: _Optional[_Iterable[_Union[Import, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...

class GetImportRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListImportErrorsRequest(_message.Message):
    __slots__ = ("id", "page_size", "cursor")
    ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    page_size: int
    cursor: str
    def __init__(self, id: _Optional[str] = ..., page_size: _Optional[int] = ..., cursor: _Optional[str] = ...) -> None: ...

class ImportError(_message.Message):
    __slots__ = ("row", "field", "reason", "sku")
    ROW_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    row: int
    field: str
    reason: str
    sku: str
    def __init__(self, row: _Optional[int] = ..., field: _Optional[str] = ..., reason: _Optional[str] = ..., sku: _Optional[str] = ...) -> None: ...

class ListImportErrorsResponse(_message.Message):
    __slots__ = ("errors", "next_cursor")
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    errors: _containers.RepeatedCompositeFieldContainer[ImportError]
    next_cursor: str
    def __init__(self, errors: _Optional[_Iterable[_Union[ImportError, _Mapping]]] = ..., next_cursor: _Optional[str] = ...) -> None: ...
