"""QMRA: query-memory re-aggregation for video object segmentation from boxes (AAAI 2021)."""
