"""Errors that code decides on: a user's mistake, and a recording that cannot be used."""

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum


class Refused(ValueError):
    """A mistake that the user can mend: one line with thing, value, limit, remedy and file.

    A command ends with that line and no traceback; every other error is a defect and keeps its own.

    Examples
    --------
    >>> from respcam.sound.audio import AudioSettings
    >>> try:
    ...     AudioSettings(gain="loud")
    ... except Refused as refusal:
    ...     print(refusal)
    audio.gain is 'loud'; expected one of none, rms, peak
    """


class Reason(StrEnum):
    """Why a recording is unusable; the word that stands in ``rejected.csv``."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    EMPTY = "empty"
    NOT_AUDIO = "not_audio"
    TRUNCATED = "truncated"
    ZERO_LENGTH = "zero_length"
    NOT_FINITE = "not_finite"
    SILENT = "silent"
    OUT_OF_RANGE = "out_of_range"
    WRONG_CHECKSUM = "wrong_checksum"
    ALTERED = "altered"
    TOO_LONG = "too_long"


class Unusable(Refused):
    """A recording that cannot be used: a run lists it and goes on with the rest, everything else is refused by it.

    Parameters
    ----------
    reason : Reason
    detail : str
        What was found, for the reader of the list.

    Examples
    --------
    >>> print(Unusable(Reason.SILENT, "all 16000 samples are 0"))
    silent: all 16000 samples are 0
    """

    def __init__(self, reason: Reason, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def there_are(names: Iterable[str], wrong: str = "") -> str:
    """List what there is, after the most similar name: the end of a refusal's sentence.

    Parameters
    ----------
    names : iterable of str
        What there is.
    wrong : str
        What was asked for instead.

    Returns
    -------
    str

    Examples
    --------
    >>> there_are(["wheeze", "crackle"], "weeze")
    'did you mean wheeze? There are wheeze, crackle'
    """
    names = list(names)
    close = get_close_matches(wrong, names, n=1, cutoff=0.6)
    listed = f"There are {', '.join(names)}" if names else "There are none"
    return f"did you mean {close[0]}? {listed}" if close else listed[0].lower() + listed[1:]
