"""Which data folder a command means: the one named, the one that `up` made around here, or that of the checkout."""

from pathlib import Path

import pytest

from services.cli import settings


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout to which the command belongs; nothing has run in it."""
    monkeypatch.delenv("SALESCYCLE_DATA_DIR", raising=False)
    (tmp_path / "checkout" / "deploy").mkdir(parents=True)
    monkeypatch.setattr(settings, "ROOT", tmp_path / "checkout")
    return tmp_path / "checkout"


def folder_of_up(parent: Path) -> Path:
    folder = parent / ".salescycle"
    folder.mkdir(parents=True)
    (folder / "up.lock").touch()
    return folder


def work_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(folder)


def test_from_anywhere_it_is_the_one_of_the_checkout(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "elsewhere", checkout, checkout / "docs"):
        work_in(folder, monkeypatch)
        assert settings.data_folder() == checkout / ".salescycle"


def test_one_that_up_made_above_here_is_nearer(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder_of_up(tmp_path / "other")
    work_in(tmp_path / "other" / "reports", monkeypatch)
    assert settings.data_folder() == made


def test_one_that_up_did_not_make_is_passed_over(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_in(tmp_path / "other", monkeypatch)
    (tmp_path / "other" / ".salescycle").mkdir()
    assert settings.data_folder() == checkout / ".salescycle"


def test_one_of_another_user_is_passed_over(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of_up(tmp_path / "other")
    work_in(tmp_path / "other", monkeypatch)
    monkeypatch.setattr("os.geteuid", lambda: folder.stat().st_uid + 1)
    assert settings.data_folder() == checkout / ".salescycle"


def test_a_checkout_inside_another_one_has_its_own(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_of_up(tmp_path)
    work_in(checkout, monkeypatch)
    assert settings.data_folder() == checkout / ".salescycle"


def test_the_one_that_is_named_goes_before_all(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of_up(tmp_path)
    work_in(tmp_path, monkeypatch)
    monkeypatch.setenv("SALESCYCLE_DATA_DIR", "mine")
    assert settings.data_folder() == tmp_path / "mine"


def test_a_value_of_several_lines_is_read_back_as_one(tmp_path: Path) -> None:
    from services.cli.up import write_environment

    write_environment(tmp_path / "environment", {"SALESCYCLE_LOG__PLACEMENTS": '[\n{"name": "a"}\n]', "B": "c=d"})
    assert settings.read_environment(tmp_path / "environment") == {
        "SALESCYCLE_LOG__PLACEMENTS": '[ {"name": "a"} ]',
        "B": "c=d",
    }
