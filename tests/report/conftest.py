import pytest

from jacengine.report import Report
from jacengine.report.case import sanitize
from tests.report.build import REPORTS


@pytest.fixture(params=list(REPORTS))
def sanitized(request: pytest.FixtureRequest) -> Report:
    return sanitize(REPORTS[request.param])
