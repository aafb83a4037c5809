from pathlib import Path

import pytest

from tests.virtual_seeg import write_dataset


@pytest.fixture(scope="session")
def seeg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset of a virtual patient in the convention of ds004080; not to be written to."""
    root = tmp_path_factory.mktemp("seeg")
    write_dataset(root)
    return root
