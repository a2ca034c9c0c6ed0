"""Reports: finished comparisons as one HTML page, Markdown, CSV and JSON.

Every statement and figure is computed from the cases of the report. Names and reasons
are foreign text: they are sanitized first and escaped by each writer.
"""

from __future__ import annotations

from jacengine.report.case import Case, Report, Row
from jacengine.report.machine import Machine
from jacengine.report.results import case_from_json, case_to_json, read_results
from jacengine.report.terminal import summary_table
from jacengine.report.write import write_report

__all__ = [
    "Case",
    "Machine",
    "Report",
    "Row",
    "case_from_json",
    "case_to_json",
    "read_results",
    "summary_table",
    "write_report",
]
