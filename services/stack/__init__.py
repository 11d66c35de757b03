"""Engines and services as processes or containers: fetched, started, watched, stopped."""
