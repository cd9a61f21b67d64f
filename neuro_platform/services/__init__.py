"""The rules: no HTTP, no SQL, no engine names."""
