"""Run folder: every file that a run writes for its reader, with the types of its columns.

Stages write and read these files, the report gathers them in the run's folder, and whoever compares finished
runs reads them there: name and types stand here alone.
"""

from respcam.data.manifest import RECORDING_STRATA
from respcam.store.artifact import PROVENANCE_NAME
from respcam.store.tables import Document, Table

IDS = {"unit_id": str, "recording_id": str, "patient_id": str}
REJECTED_COLUMNS = ("recording_id", "path", "reason", "detail")

#: recordings that could not be used, and why
REJECTED = Table("rejected.csv", dict.fromkeys(REJECTED_COLUMNS, str), is_text=True)

#: a row per recording or event with frames: its class, part and frames
UNITS = Table("units.csv", {**IDS, "part": str, "label": str, "start_s": float, "end_s": float}, is_text=True)
#: a row per unit of validation and of the test parts: true and predicted class, ``p_<class>``, strata
PREDICTIONS = Table(
    "predictions.csv",
    {**IDS, **dict.fromkeys(("part", "label", "true_class", "predicted_class", *RECORDING_STRATA), str)},
)
#: a row per epoch
HISTORY = Table("history.csv")
#: by part: counts, confusion matrix, every metric with its interval
METRICS = Document("metrics.json")
#: what was left out, and why
REMARKS = Document("remarks.json")
#: a row per band that the model is fed: its place in Hz, mean and standard deviation over the training units
SCALER = Table("scaler.csv")
CLASSES = Document("classes.json")
WEIGHTS = "model.safetensors"
#: everything beside the weights that a new recording needs to be scored: `respcam.network.pipeline.Pipeline`
MODEL = Document("model.json")

#: heat per band and group of Hz, per part and class
BAND_HEAT = Table("band_heat.csv", dict.fromkeys(("part", "target_class", "name"), str))
#: the same of the method that stands beside the chosen one
BAND_HEAT_BESIDE = Table("band_heat_beside.csv", BAND_HEAT.types)
#: where heat comes from, and counts per part and class
HEAT = Document("heat_summary.json")

#: verdict and warnings of each part, suggested cut-off, receptive fields
TRUST = Document("trust.json")
_TEXT_COLUMNS = ("part", "class", "method", "layers", "score", "fill", "weights", "hz", "value")
_TEXT = dict.fromkeys((*_TEXT_COLUMNS, "densest_hz", "costliest_hz", "outcome", "objections"), str)
#: evidence by kind; every table has the column ``part``
EVIDENCE = {
    name: Table(f"{name}.csv", _TEXT)
    for name in (
        "occlusion",
        "methods",
        "profiles",
        "localisation",
        "metadata",
        "strata",
        "blank",
    )
}

#: fill of the rows of profiles.csv that hold the median of the fills
MEDIAN = "median"

#: range of the training recordings: `respcam.data.trained_on.TrainedOn`
TRAINED_ON = Document("trained_on.json")
#: a row per test unit: the hottest group of Hz and moment of the heat for the explained class
UNIT_HEAT = Table("unit_heat.csv", {**IDS, **dict.fromkeys(("part", "target_class", "hottest_hz"), str)})
#: units that the page opens in its player, and why they were chosen
EXAMPLES = Table("examples.csv", dict.fromkeys(("part", "unit_id", "kind", "class"), str), is_text=True)

#: the composed settings
CONFIGURATION = "config.yaml"
PAGE = "report.html"
FIGURES = "figures"
#: identity, versions, date: written last
PROVENANCE = Document(PROVENANCE_NAME)
#: raised when a run folder holds other files or columns
SCHEMA = 7
