"""The tables; their history is in ``migrations``, and a test compares the two."""

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
    Column("created_us", BigInteger, nullable=False),  # microseconds since the epoch
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


def complete_metadata() -> MetaData:
    """All tables, those of other modules too."""
    import neuro_platform.store.permissions
    import neuro_platform.store.users  # noqa: F401  (they declare their tables)

    return metadata
