"""Load for the RAG service: `locust -f bench/rag.py`.

Answers are streamed; the row TTFT is the time to the first content token, not to the headers.
Locust rounds the percentiles in its table to two digits; see README.md before quoting one.
"""

from __future__ import annotations

from _user import ServiceUser


class RagUser(ServiceUser):
    service = "rag"
