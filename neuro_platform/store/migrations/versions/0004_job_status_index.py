"""An index of jobs by status alone: for those who see jobs of many users."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_index("ix_jobs_status_seq", "jobs", ["status", "seq"])


def downgrade() -> None:
    op.drop_index("ix_jobs_status_seq", "jobs")
