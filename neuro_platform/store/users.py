"""Who may come in: users, their sessions, and the hashes of the opaque secrets that lead to a session."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, Table, Text, delete, insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from neuro_platform.store.schema import metadata
from neuro_sdk.wire.times import from_us, to_us
