"""Measures how well RAG finds, on documents that anybody can fetch and questions that their authors wrote."""
