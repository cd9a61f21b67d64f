"""What travels between client and platform: shapes, names, frames. Shared by both sides, and nowhere written twice."""
