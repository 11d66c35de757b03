"""What every service's process shares: the app factory, problem documents, one request's wishes, SSE, the store."""
