"""The parts of the process that looks after one task (``shim.py``). Standard library only: a task pays for them."""
