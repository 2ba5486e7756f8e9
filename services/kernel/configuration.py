"""Reads folders of configuration files; what they mean is their reader's business."""

from pathlib import Path

from services.kernel.errors import SalescycleError


class Misconfigured(SalescycleError):
    code = "misconfigured"
    title = "The configuration cannot be used"


def read_documents(folder: Path, suffix: str) -> dict[str, str]:
    """Texts of the files that end in `suffix`, by file name, in order of name. Raises Misconfigured."""
    if not folder.is_dir():
        raise Misconfigured(f"{folder} is not a folder; set SALESCYCLE_PIPELINES_DIR to where the files are")
    documents = {file.name: _text(file) for file in sorted(folder.glob(f"*{suffix}")) if file.is_file()}
    if not documents:
        raise Misconfigured(f"{folder} holds no {suffix} file")
    return documents


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{file} is not UTF-8: byte {error.start + 1} of it is no text") from None
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from None
