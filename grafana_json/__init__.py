"""The Grafana adapter: the Simple-JSON and JSON datasource protocols on top of sisock."""
