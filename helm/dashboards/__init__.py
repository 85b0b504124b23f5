"""Grafana dashboards from code: `python -m dashboards FOLDER` writes the JSON, `--check` says whether it is current."""
