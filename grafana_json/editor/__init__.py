"""The lists of Grafana's editors: ``listing`` of targets, ``builder`` of options, values of ``variables``; pure."""
