"""The read models of this service. A new one is a module of its own, and a line here."""

from collections.abc import Callable

from schemas.pipeline_files import read_pipelines
from schemas.pipelines import Pipelines
from services.kernel.checkpoint import ReadModel
from services.kernel.configuration import read_documents
from services.kernel.errors import NotFound
from services.kernel.settings import KernelSettings
from services.projections.churn.model import churn_model
from services.projections.pipeline.model import pipeline_model
from services.projections.reference.model import reference_model

MODELS: dict[str, Callable[[Pipelines, str, int], ReadModel]] = {
    "churn": churn_model,
    "pipeline": pipeline_model,
    "reference": reference_model,
}


def make_model(name: str, settings: KernelSettings, leads_kept: int = 50_000) -> ReadModel:
    """A fresh instance, with an empty memory of `leads_kept` leads: each generation that is filled has its own.

    Raises NotFound.
    """
    if name not in MODELS:
        raise NotFound(f"there is no read model {name}; there are: {', '.join(sorted(MODELS))}")
    pipelines = read_pipelines(read_documents(settings.pipelines_dir, ".yaml"))
    return MODELS[name](pipelines, settings.reporting_zone, leads_kept)
