"""What Prometheus, Grafana and `cutover report --live` are given beyond the services' own pages. Changes nothing."""
