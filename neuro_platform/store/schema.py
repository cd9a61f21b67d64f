"""All tables; their history is in ``migrations``, and a test compares the two. Times are as in ``times.py``."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Counter = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what it calls INTEGER

jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Counter, primary_key=True, autoincrement=True),  # order of creation
    Column("id", String(40), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("cluster", String(255), nullable=False),  # also the name of the engine
    Column("name", String(40)),
    Column("status", String(16), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),  # what the wire says of the job, as JSON
    Column("idempotency_key", String(255)),
    Column("phase", String(16), nullable=False),  # what the reconciler has done so far
    Column("attempt", Integer, nullable=False),
    Column("gpus", String(255), nullable=False),  # indexes of those given out, JSON
    Column("handle", Text),  # the engine's, JSON
    Column("not_before_us", BigInteger),  # when the next attempt is due
    Column("stop", Text),  # why the job is to end, JSON; NULL while it is wanted
    UniqueConstraint("id"),
    UniqueConstraint("owner", "idempotency_key"),
    Index("ix_jobs_owner_seq", "owner", "seq"),
    Index("ix_jobs_owner_name_seq", "owner", "name", "seq"),
    Index("ix_jobs_owner_status_seq", "owner", "status", "seq"),
    Index("ix_jobs_status_seq", "status", "seq"),
    Index("ix_jobs_phase", "phase"),
)

job_tags = Table(
    "job_tags",
    metadata,
    Column("job_seq", _Counter, ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(256), primary_key=True),
    Column("owner", String(255), nullable=False),
    Index("ix_job_tags_owner_tag", "owner", "tag"),
)

# Secrets are here as SHA-256 only: they are random, so nobody can guess them from their hash, and a copy of the
# database opens no door.
users = Table(
    "users",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("password_hash", Text),  # NULL: comes in by the local key only
    Column("created_us", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("user_name", String(255), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("label", String(255)),  # the name of a personal token
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger),
    Index("ix_sessions_user_name_kind", "user_name", "kind"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("session", String(64), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("replaced_us", BigInteger),  # since when there is a successor
    Index("ix_tokens_session", "session"),
)

codes = Table(
    "codes",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user_name", String(255), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("challenge", String(64), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("session", String(64)),  # what it was exchanged for; a code that has one is spent
)

grants = Table(
    "grants",
    metadata,
    Column("grantee", String(255), primary_key=True),  # a user or a role
    Column("uri", Text, primary_key=True),  # as ``str(Resource)``; for all below it, too
    Column("action", String(16), nullable=False),
    Column("owner", String(255)),  # the user whose it is; NULL for what is of no one user
    Column("granted_by", String(255), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index("ix_grants_uri", "uri"),
    Index("ix_grants_owner", "owner"),
    Index("ix_grants_granted_by", "granted_by"),
)

roles = Table(
    "roles",
    metadata,
    Column("name", String(255), primary_key=True),  # begins with the owner's and a slash
    Column("owner", String(255), ForeignKey("users.name", ondelete="CASCADE"), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Index("ix_roles_owner", "owner"),
)
