"""Recording of a service's own requests: asked for by a ticket, redacted before anything is written, bounded."""
