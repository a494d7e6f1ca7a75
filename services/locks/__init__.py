"""Leases that can be trusted.

Owns: locks, their leases and their fencing tokens; who waits for them.
RPCs: Acquire, Renew, Release, ListLocks, GetLock.
Events out: none.
Events in: none.

Every decision is one guarded statement by the database's clock. A lock's row is never deleted, so its token only grows.
"""
