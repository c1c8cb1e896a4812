"""``auditor.toml`` → ``Config``. Every complaint names the file, the line and the next step."""

from auditor.config.complaints import explained
from auditor.config.load import FLAGS, load_config
from auditor.config.paths import beside, placed_options
from auditor.config.source import ConfigSource
from auditor.config.tables import (
    BaselineTable,
    CandidateTable,
    CheckTable,
    Config,
    DataTable,
    DeploymentTable,
    EngineTable,
    LatencyTable,
    ModelTable,
    OutputTable,
    OverlapTable,
    PolicyTable,
    PredictionsTable,
    Preset,
    Waiver,
)

__all__ = [
    "FLAGS",
    "BaselineTable",
    "CandidateTable",
    "CheckTable",
    "Config",
    "ConfigSource",
    "DataTable",
    "DeploymentTable",
    "EngineTable",
    "LatencyTable",
    "ModelTable",
    "OutputTable",
    "OverlapTable",
    "PolicyTable",
    "PredictionsTable",
    "Preset",
    "Waiver",
    "beside",
    "explained",
    "load_config",
    "placed_options",
]
