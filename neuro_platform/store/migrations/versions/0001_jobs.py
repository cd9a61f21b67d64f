"""Jobs and their tags."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_counter = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", _counter, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(40), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("cluster", sa.String(255), nullable=False),
        sa.Column("name", sa.String(40)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("gpus", sa.String(255), nullable=False),
        sa.Column("handle", sa.Text),
        sa.Column("not_before_us", sa.BigInteger),
        sa.Column("stop", sa.Text),
        sa.PrimaryKeyConstraint("seq", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_jobs_owner_idempotency_key"),
    )
    op.create_index("ix_jobs_owner_seq", "jobs", ["owner", "seq"])
    op.create_index("ix_jobs_owner_name_seq", "jobs", ["owner", "name", "seq"])
    op.create_index("ix_jobs_owner_status_seq", "jobs", ["owner", "status", "seq"])
    op.create_index("ix_jobs_phase", "jobs", ["phase"])
    op.create_table(
        "job_tags",
        sa.Column("job_seq", _counter, nullable=False),
        sa.Column("tag", sa.String(256), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("job_seq", "tag", name="pk_job_tags"),
        sa.ForeignKeyConstraint(["job_seq"], ["jobs.seq"], ondelete="CASCADE", name="fk_job_tags_job_seq"),
    )
    op.create_index("ix_job_tags_owner_tag", "job_tags", ["owner", "tag"])


def downgrade() -> None:
    op.drop_table("job_tags")
    op.drop_table("jobs")
