"""The edges of tenants: one module a gRPC service."""
