"""Exported model: ONNX Runtime in place of torch, for a device or a quick look."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from respcam.errors import Refused
from respcam.experiments.listener import Listener, ModelInfo
from respcam.metrics import decide
from respcam.network.closeup import EXPORTED_INFO, EXPORTED_OUTPUTS, EXPORTED_SCORES, Closeup, heard_parts


@dataclass(frozen=True)
class OnnxModel(Listener):
    """Model in an ONNX file that `respcam.network.export` wrote.

    Attributes
    ----------
    info : ModelInfo
    session : onnxruntime.InferenceSession
    scores : onnxruntime.InferenceSession
        The part of the graph that gives probabilities alone.
    """

    is_quick: ClassVar[bool] = True

    info: ModelInfo
    session: Any
    scores: Any

    @staticmethod
    def open(path: Path, threads: int = 0) -> "OnnxModel":
        """Open a file.

        Parameters
        ----------
        path : Path
        threads : int
            Threads of ONNX Runtime; 0 takes every core.

        Raises
        ------
        Refused
            If ONNX Runtime is not installed, or the file is no model of respcam.
        """
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise Refused("an exported model needs ONNX Runtime; pip install 'respcam[onnx]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Refused(f"{path}: not an ONNX model ({' '.join(str(error).split())[:100]})") from error
        kept = session.get_modelmeta().custom_metadata_map
        if EXPORTED_INFO not in kept or EXPORTED_SCORES not in kept:
            raise Refused(f"{path}: not a model of respcam (its metadata have no key {EXPORTED_INFO!r})")
        scores = onnxruntime.InferenceSession(
            base64.b64decode(kept[EXPORTED_SCORES]), options, providers=["CPUExecutionProvider"]
        )
        return OnnxModel(ModelInfo.of_plain(json.loads(kept[EXPORTED_INFO])), session, scores)

    def closeup(self, waveform: np.ndarray, is_brief: bool = False) -> Closeup:
        """Examine a recording; see `respcam.experiments.listener.Listener`."""
        outputs = self.session.run(list(EXPORTED_OUTPUTS), {"waveform": np.asarray(waveform, np.float32)})
        probability, start_frame, log_odds, log_mel, heat = outputs
        info, predicted = self.info, int(decide(probability, self.info.decision))
        hot, rest = heard_parts(waveform, heat[0, predicted], info.fed_bands, info.front_end, self.probability)
        return Closeup(waveform, log_mel, probability, predicted, start_frame, log_odds, heat, hot, rest)

    def probability(self, waveform: np.ndarray) -> np.ndarray:
        """Probability of each class: float32 [shape=(class,)]."""
        return self.scores.run(["probability"], {"waveform": np.asarray(waveform, np.float32)})[0]
