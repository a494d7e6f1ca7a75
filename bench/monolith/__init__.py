"""The peer: one FastAPI process that does by the usual means what Switchyard's processes do together.

SQLAlchemy's ORM on asyncpg, pydantic models in and out, a JWT verified in each request, the tenant set under forced
row-level security in the request's transaction, a GCRA limit in Valkey through redis-py, and an order placed in one
transaction with its stock, its outbox row and its audit row. It leaves out what would make it dearer: no tracing
middleware, no metrics, no relay of the outbox, no consumer of its events.
"""
