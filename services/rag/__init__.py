"""RAG: answers questions from documents, with citations that can be checked."""
