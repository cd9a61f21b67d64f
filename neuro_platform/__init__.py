"""The embedded platform: serves the Neuro Platform API v1 from this machine, with real processes behind it."""
