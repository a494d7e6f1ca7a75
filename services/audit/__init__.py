"""The append-only trail of who did what.

Owns each tenant's chain of audit events (and the platform's own): an entry holds the SHA-256 of the entry before and
itself, so that an altered, removed or inserted entry shows; each service numbers its events without gaps, so that one
that never arrived shows too.

RPCs: Query, GetEvent, Verify.
Events out: none. Events in: the AUDIT stream (`aud.<tenant>.<service>`), to which every service's outbox sends.
"""
