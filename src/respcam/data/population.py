"""Population: how many patients and recordings a data set has, and what is suspicious about them."""

import pandas as pd

from respcam.data.manifest import named

FEW_PATIENTS = 10  # below which validation and test are a patient or two


def description(recordings: pd.DataFrame) -> list[str]:
    """Say what a table of recordings holds: patients with an example, labels, devices.

    Parameters
    ----------
    recordings : DataFrame
        ``path, patient_id, label`` and, where known, ``device``.

    Returns
    -------
    list of str

    Examples
    --------
    >>> recordings = pd.DataFrame({"path": ["a/1.wav", "a/2.wav"], "patient_id": ["ann", "ann"], "label": "wheeze"})
    >>> description(recordings)
    ["2 recordings of 1 patients, 2 each; for example patient 'ann' in a/1.wav", 'labels: wheeze 2']
    """
    per_patient = recordings.groupby("patient_id")["path"].agg(["size", "first"])
    fewest, most = per_patient["size"].min(), per_patient["size"].max()
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    examples = [f"{patient!r} in {path}" for patient, path in per_patient["first"].head(3).items()]
    lines = [
        f"{len(recordings)} recordings of {len(per_patient)} patients, {count} each; "
        f"for example patient {', '.join(examples)}"
    ]
    for column in ("label", "device"):
        values = recordings[column] if column in recordings else pd.Series(dtype=str)
        counts = values[values != ""].value_counts()
        if len(counts):
            lines.append(f"{column}s: {named([f'{value} {n}' for value, n in counts.items()], limit=12)}")
    return lines


def cautions(recordings: pd.DataFrame, is_by_pattern: bool = False) -> list[str]:
    """Say what would make a split by patients mean little.

    Parameters
    ----------
    recordings : DataFrame
        ``patient_id, label``.
    is_by_pattern : bool
        Whether patients were found in file names by a pattern.

    Returns
    -------
    list of str

    Examples
    --------
    >>> cautions(pd.DataFrame({"patient_id": [f"p{number}" for number in range(40)], "label": "wheeze"}))
    ['every recording is its own patient (40): if a patient has several, they would be in train and test']
    """
    n_patients = recordings["patient_id"].nunique()
    remedy = "; dataset.patient_pattern says where the patient stands in a file name" if is_by_pattern else ""
    sentences = []
    if n_patients == len(recordings):
        sentences.append(
            f"every recording is its own patient ({n_patients}): if a patient has several, they would be in train "
            f"and test{remedy}"
        )
    spellings = recordings["patient_id"].drop_duplicates()
    alike = spellings[spellings.str.casefold().duplicated(keep=False)]
    if len(alike):
        sentences.append(f"patients differ in case alone: {named(sorted(alike))}; they count as different patients")
    if n_patients < FEW_PATIENTS:
        patients = named(sorted(set(recordings["patient_id"])), limit=FEW_PATIENTS)
        sentences.append(f"only {n_patients} patients ({patients}): a test on so few says little{remedy}")
    return sentences
