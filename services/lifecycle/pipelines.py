"""Reads the pipelines of the deployment from its folder of YAML files."""

from pathlib import Path

from schemas.pipeline_files import read_pipelines
from schemas.pipelines import PipelineError, Pipelines
from services.kernel.configuration import Misconfigured, read_documents


def load_pipelines(folder: Path) -> Pipelines:
    """Raises Misconfigured where the folder cannot be read, or a pipeline in it cannot be used."""
    try:
        return read_pipelines(read_documents(folder, ".yaml"))
    except PipelineError as error:
        raise Misconfigured(f"{folder}: {error}") from error
