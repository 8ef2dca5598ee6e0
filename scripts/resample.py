"""Resample any audio to 16 kHz mono: python scripts/resample.py dataset=sprsound2022 dataset.root=DIR"""

import hydra
from omegaconf import DictConfig

from edge import one_line_errors, run_stage


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line_errors
def main(cfg: DictConfig) -> None:
    run_stage(cfg, "resample")


if __name__ == "__main__":
    main()
