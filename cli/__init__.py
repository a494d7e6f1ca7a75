"""The `switchyard` command: runs the suite on one machine and answers an operator's questions about it."""
