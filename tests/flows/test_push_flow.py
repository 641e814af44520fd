"""The flow in Prefect's engine; what it does to devices is tested with them."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.push import push
from stages.core.project.errors import DataError


@pytest.mark.thorough
def test_a_push_that_cannot_be_is_a_failed_run_with_the_reason(
    prefect_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_text("push: {devices: [{name: attic, transport: local, folder: attic}]}")
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        with pytest.raises(DataError, match=r"model 'edac' .*alias 'nobody'"):
            push(alias="nobody")
        with get_client(sync_client=True) as client:
            runs = client.read_flow_runs()
    (run,) = (run for run in runs if run.parameters.get("alias") == "nobody")
    assert run.state
    assert run.state.is_failed()
    assert "has no model 'edac'" in str(run.state.message)
    assert not (tmp_path / "attic").exists()
