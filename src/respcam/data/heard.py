"""Classes of patches from annotated events: what is heard in a stretch of a recording."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from respcam.data.tasks import Task

UNKNOWN = -1  # class of a patch that annotations do not decide


@dataclass(frozen=True)
class HeardEvents:
    """Annotated events of one unit that are a class of the task.

    Attributes
    ----------
    start, end : float64 [shape=(event,)]
        First frame, and the frame after the last, from the start of the unit.
    target : int64 [shape=(event,)]
        Class of a patch that holds the event.
    otherwise : int
        Class of a patch without any of them.
    """

    start: np.ndarray
    end: np.ndarray
    target: np.ndarray
    otherwise: int

    def class_of(self, first: int, length: int) -> int:
        """Class of the patch from frame ``first`` on, of ``length`` frames.

        A patch holds an event if they share half of the shorter one. A patch that holds events of two classes, or
        less than that of some event and no other, is `UNKNOWN`.

        Examples
        --------
        >>> heard = HeardEvents(np.array([100.0]), np.array([150.0]), np.array([1]), otherwise=0)
        >>> [heard.class_of(first, 96) for first in (0, 20, 60, 200)]
        [0, -1, 1, 0]
        """
        shared = np.minimum(self.end, first + length) - np.maximum(self.start, first)
        is_held = shared >= np.minimum(self.end - self.start, length) / 2
        classes = set(self.target[is_held].tolist())
        if len(classes) == 1:
            return classes.pop()
        return self.otherwise if not classes and not (shared > 0).any() else UNKNOWN

    def starts_on(self, n: int, length: int, last: int, rng: np.random.Generator) -> np.ndarray:
        """Draw starts of patches that lie on events: int64 [shape=(n,)], 0 to ``last``.

        The middle half of a patch covers a moment of an event, drawn evenly from an event that is drawn evenly.
        """
        event = rng.integers(0, len(self.start), n)
        moment = rng.uniform(self.start[event], self.end[event])
        return np.clip(moment - rng.uniform(0.25, 0.75, n) * length, 0, last).astype(np.int64)


def heard_in(
    units: pd.DataFrame, events: pd.DataFrame | None, task: Task, class_names: list[str], frame_rate_hz: float
) -> list[HeardEvents | None]:
    """Find the events of each recording.

    Parameters
    ----------
    units : DataFrame
        ``recording_id, target``, a row per recording.
    events : DataFrame, optional
        ``recording_id, start_s, end_s, label``.
    task : Task
    class_names : list of str
    frame_rate_hz : float

    Returns
    -------
    list of HeardEvents or None
        None for a recording without any annotated event: nobody may have listened for them; but a class of
        ``task.throughout`` is known without. None for all where the units are events themselves.
    """
    if events is None or task.events is None or task.normal is None or task.unit == "event":
        return [None] * len(units)
    class_of = {label: class_names.index(name) for name, labels in task.events.items() for label in labels}
    of_recording = dict(list(events.groupby("recording_id")))
    throughout = {class_names.index(name) for name in task.throughout if name in class_names}
    nothing = np.zeros(0)
    heard: list[HeardEvents | None] = []
    for recording_id, target in zip(units["recording_id"], units["target"], strict=True):
        rows = of_recording.get(recording_id)
        if target in throughout:
            heard.append(HeardEvents(nothing, nothing, nothing.astype(np.int64), int(target)))
        elif rows is not None:
            rows = rows[rows["label"].isin(class_of)]
            heard.append(
                HeardEvents(
                    rows["start_s"].to_numpy(np.float64) * frame_rate_hz,
                    rows["end_s"].to_numpy(np.float64) * frame_rate_hz,
                    rows["label"].map(class_of).to_numpy(np.int64),
                    class_names.index(task.normal),
                )
            )
        else:
            heard.append(None)
    return heard
