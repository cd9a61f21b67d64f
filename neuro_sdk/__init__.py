"""Run jobs on a Neuro platform: configuration, login, jobs; everything asynchronous, everything typed."""

__version__ = "0.1.0"
