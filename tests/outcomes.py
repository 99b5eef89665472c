"""What came of a fit: the same result as another one's, and what was said about it."""

from test_resume import assert_same


def lines_about(caplog, name: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if name in record.getMessage()]


def difference(folder, reference) -> str | None:
    try:
        assert_same(folder, reference)
    except AssertionError as error:
        return f"another result: {str(error)[:100]}"
    return None
