"""The services; each folder is one, and owns its data."""
