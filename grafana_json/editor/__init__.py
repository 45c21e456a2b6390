"""What fills the lists of Grafana's editors: ``listing`` of targets, ``builder`` of options, ``variables``; pure."""
