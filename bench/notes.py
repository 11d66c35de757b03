"""Load for the Notes service: `locust -f bench/notes.py`.

Answers come whole, so there is one time per request.
Locust rounds the percentiles in its table to two digits; see README.md before quoting one.
"""

from __future__ import annotations

from _user import ServiceUser


class NotesUser(ServiceUser):
    service = "notes"
