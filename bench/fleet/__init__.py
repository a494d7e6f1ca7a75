"""What the registry is measured with: two registry processes, instances that die, a crowd of them, many watchers."""
