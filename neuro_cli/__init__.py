"""The `neuro` command: parses, calls the SDK, shows the result."""
