"""What only shows once a campaign has begun: it ends with a sentence and the right exit code, and can go on where that makes sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from local import campaigns

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    task = {"name": "chat", "params": campaigns.SMALL | {"strongModel": "/nonexistent/model"}}
    file = campaigns.write(tmp_path, campaigns.campaign("model", task=task))
    code, said = campaigns.finished(file, tmp_path / "run")
    assert code == 1, said
    assert "Failed: The baseline 'features' of task 'chat'" in said
    assert "/nonexistent/model" in said
    assert "name another directory with --dir" in said
    campaigns.check_ledger(tmp_path / "run", "1.00")


def test_a_budget_too_small_is_refused_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    small = campaigns.write(tmp_path, campaigns.campaign("poor", budget={"limitUSD": "0.001"}))
    code, said = campaigns.finished(small, folder)
    assert code == 2, said
    assert "budget.limitUSD is 0.001, but verification needs up to" in said
    assert "raise the limit to" in said
    rich = campaigns.write(tmp_path, campaigns.campaign("poor"))
    with campaigns.started(rich, folder) as run:
        run.until("Preparing")
