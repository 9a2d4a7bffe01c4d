"""A run snapshot becomes a plan for MLflow. Pure: no server, file, clock or MLflow client.

- `plan_unit(run, homes, naming, scalars, tables)`: the plan of one pipeline run
- `plan_model(artifact, name)`: an artifact as an MLflow model, and `mlmodel_text` its `MLmodel`
- `plan_experiment(repository, stack, pipeline, naming)`: of a pipeline, also one without runs
- `naming_from_yaml(mapping)`: the naming that both take
- `pages_tag(pages)`, `unsent_pages(pages, tag)`: which pages a run holds, and which it lacks
- `planned_files(plan)`: every file that MLflow is to hold of a unit
- `stored_path(home, file_path)`: where a file of an artifact is, under its run's root
- `wanted_scalars(run)`: ids of the outputs whose small JSON value makes metrics
- `wanted_tables(run)`: ids of the copied artifacts that look like tables
"""

from exporter.mapping.homes import Home
from exporter.mapping.mlflow.features import HEAD_BYTES, feature_file, feature_names
from exporter.mapping.mlflow.files import PlannedFile, planned_files
from exporter.mapping.mlflow.logged_models import LoggedModelPlan
from exporter.mapping.mlflow.models import MLMODEL, ModelPlan, mlmodel_text, plan_model
from exporter.mapping.mlflow.naming import MlflowNaming, naming_from_yaml, plan_experiment
from exporter.mapping.mlflow.ownership import WrittenKeys, written_keys
from exporter.mapping.mlflow.pages import PAGES_TAG, is_held_page, pages_tag, unsent_pages
from exporter.mapping.mlflow.paths import stored_path
from exporter.mapping.mlflow.plans import (
    DatasetPlan,
    ExperimentPlan,
    MetricPoint,
    RunPlan,
    UnitPlan,
    Upload,
)
from exporter.mapping.mlflow.tables import DESCRIPTIONS, SERIES_TAG, TableFacts, wanted_tables
from exporter.mapping.mlflow.units import plan_unit, wanted_scalars

__all__ = [
    "DESCRIPTIONS",
    "HEAD_BYTES",
    "MLMODEL",
    "PAGES_TAG",
    "SERIES_TAG",
    "DatasetPlan",
    "ExperimentPlan",
    "Home",
    "LoggedModelPlan",
    "MetricPoint",
    "MlflowNaming",
    "ModelPlan",
    "PlannedFile",
    "RunPlan",
    "TableFacts",
    "UnitPlan",
    "Upload",
    "WrittenKeys",
    "feature_file",
    "feature_names",
    "is_held_page",
    "mlmodel_text",
    "naming_from_yaml",
    "pages_tag",
    "plan_experiment",
    "plan_model",
    "plan_unit",
    "planned_files",
    "stored_path",
    "unsent_pages",
    "wanted_scalars",
    "wanted_tables",
    "written_keys",
]
