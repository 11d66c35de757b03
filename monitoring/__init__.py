"""Prometheus, Alertmanager and Grafana as files, and what generates the boards among them."""
