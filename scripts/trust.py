"""Hold a model's heat against evidence: python scripts/trust.py trust.patches=256"""

import hydra
from omegaconf import DictConfig

from edge import one_line_errors, run_stage


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line_errors
def main(cfg: DictConfig) -> None:
    run_stage(cfg, "trust")


if __name__ == "__main__":
    main()
