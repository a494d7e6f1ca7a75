"""The edges of auth, one module a gRPC service."""
