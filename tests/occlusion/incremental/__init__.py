import pytest

pytest.register_assert_rewrite("tests.occlusion.incremental.definition")  # its failures say as much as a test's
