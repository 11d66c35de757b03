"""Load for the NER service: `locust -f bench/ner.py`.

Answers are JSON by a schema and come whole, so there is one time per request.
Locust rounds the percentiles in its table to two digits; see README.md before quoting one.
"""

from __future__ import annotations

from _user import ServiceUser


class NerUser(ServiceUser):
    service = "ner"
