"""Permissions on URIs, and roles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "grants",
        sa.Column("grantee", sa.String(255), nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("granted_by", sa.String(255), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("grantee", "uri", name="pk_grants"),
    )
    op.create_index("ix_grants_uri", "grants", ["uri"])
    op.create_index("ix_grants_owner", "grants", ["owner"])
    op.create_index("ix_grants_granted_by", "grants", ["granted_by"])
    op.create_table(
        "roles",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_roles"),
        sa.ForeignKeyConstraint(["owner"], ["users.name"], ondelete="CASCADE", name="fk_roles_owner"),
    )
    op.create_index("ix_roles_owner", "roles", ["owner"])


def downgrade() -> None:
    op.drop_table("roles")
    op.drop_table("grants")
