"""Reads the pipelines of the deployment from its folder of YAML files."""

from pathlib import Path

from schemas.pipelines import Pipelines
from services.kernel.configuration import read_documents


def load_pipelines(folder: Path) -> Pipelines:
    """Raises PipelineError, or Misconfigured where the folder cannot be read."""
    return Pipelines.parse(read_documents(folder, ".yaml"))
