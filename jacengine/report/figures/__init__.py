"""Figures of a report: matplotlib, drawn into the page as SVG."""
