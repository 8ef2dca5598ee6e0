"""Compute the heat of the test recordings: python scripts/explain.py explain.target=predicted"""

import hydra
from omegaconf import DictConfig

from edge import one_line_errors, run_stage


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line_errors
def main(cfg: DictConfig) -> None:
    run_stage(cfg, "explain")


if __name__ == "__main__":
    main()
