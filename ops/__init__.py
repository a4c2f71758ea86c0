"""What stands beside the project in operation: Grafana's dashboards, Prometheus' settings and rules, their picture."""
