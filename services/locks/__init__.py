"""Leases that can be trusted.

Owns: locks, their leases and their fencing tokens; who waits for them.
RPCs: Acquire, Hold, Renew, Release, ListLocks, GetLock, BreakLock.
Events out: LeaseLost.
Events in: none.

A lock is a document in the bucket `locks`, each change one compare-and-set, and a lease's token the revision of the
write that granted it. Any process serves any lock. No decision asks a clock on the wall.
"""
