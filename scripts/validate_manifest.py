"""Check a folder against its manifest: python scripts/validate_manifest.py dataset=sprsound2022 dataset.root=DIR

Names every recording that is missing or altered; the exit status is 1 where there is one.
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig

from edge import one_line_errors


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line_errors
def main(cfg: DictConfig) -> None:
    from configured import typed
    from respcam.stages import dataset

    problems = dataset.validate(typed(dataset.DatasetSettings, cfg, "dataset"), Path(cfg.paths.store), cfg.workers)
    print("\n".join(problems) or "every recording of the manifest is there and unaltered")
    if problems:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
