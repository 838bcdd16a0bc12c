"""The GPU report: parts that run alone, each in its own process (see ``gpu_report.sh``)."""
