"""Run every stage: python scripts/run.py dataset=sprsound2022 dataset.root=DIR task=adventitious"""

import hydra
from omegaconf import DictConfig

from edge import one_line_errors, run_all


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line_errors
def main(cfg: DictConfig) -> None:
    run_all(cfg)


if __name__ == "__main__":
    main()
