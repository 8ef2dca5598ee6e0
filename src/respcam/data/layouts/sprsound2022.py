"""SPRSound: open-source SJTU paediatric respiratory sound database, release for BioCAS 2022.

Source: Q. Zhang et al., "SPRSound: Open-Source SJTU Paediatric Respiratory Sound Database", IEEE TBioCAS 2022.
Licence: Creative Commons Attribution.
Manifest: 2683 recordings (1949 train, 379 intra, 355 inter) and 9089 events, with checksums of all recordings.

A recording is in train and in intra under two names (``41279835_14.1_0_p1_2945`` and ``..._2050``, the same bytes).
A run takes the first out of train.
"""

import json
from pathlib import Path

import pandas as pd

from respcam.data.listing import Listing, as_published, fields_of_name, required

SITES = {
    "p1": "left posterior",
    "p2": "left lateral",
    "p3": "right posterior",
    "p4": "right lateral",
}
SEXES = {"0": "male", "1": "female"}
FOLDERS = {  # of the annotations and of the audio, by part
    "train": ("train_json", "train_wav"),
    "intra": ("test_json/intra_test_json", "test_wav"),
    "inter": ("test_json/inter_test_json", "test_wav"),
}


def list_tables(root: Path) -> Listing:
    """List SPRSound from its annotations.

    Audio need not be there: what the annotations name is listed.

    Parameters
    ----------
    root : Path
        Holds ``train_json, test_json`` and ``SPRSound_patient_summary.csv``.

    Returns
    -------
    Listing

    Raises
    ------
    Refused
        If the annotations are not under the root, or not as published.

    Examples
    --------
    >>> list_tables(Path("/nowhere"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    respcam.errors.Refused: /nowhere/SPRSound_patient_summary.csv: not there; ...
    """
    summary = root / "SPRSound_patient_summary.csv"
    with as_published(summary, "a CSV with patient_num, disease"):
        diagnosis = pd.read_csv(summary, dtype=str).fillna("").set_index("patient_num")["disease"].to_dict()
    recordings, events = [], []
    for part, (annotations, audio) in FOLDERS.items():
        for path in sorted(required(root / annotations).glob("*.json")):
            with as_published(path, "a name such as 41_6.1_1_p2_7 and JSON with record_annotation, event_annotation"):
                patient, age, sex, site, _ = fields_of_name(path.stem, "patient_age_sex_site_number")
                content = json.loads(path.read_text(encoding="utf-8"))
                recordings.append(
                    {
                        "recording_id": path.stem,
                        "path": f"{audio}/{path.stem}.wav",
                        "patient_id": patient,
                        "label": str(content["record_annotation"]),
                        "split": part,
                        "site": SITES[site],
                        "age_years": age,
                        "sex": SEXES[sex],
                        "diagnosis": diagnosis.get(patient, ""),
                    }
                )
                events += [
                    (path.stem, int(event["start"]) / 1000, int(event["end"]) / 1000, str(event["type"]))
                    for event in content["event_annotation"]
                ]
    return Listing.of(recordings, events)
