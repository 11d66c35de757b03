"""The store room: one SQLite file per service, or PostgreSQL behind the same calls. Imports nothing of ours."""
