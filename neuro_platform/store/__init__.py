"""The database: columns to search by, and the wire JSON itself."""
