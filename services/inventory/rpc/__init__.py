"""The edges of inventory: one module a gRPC service."""
