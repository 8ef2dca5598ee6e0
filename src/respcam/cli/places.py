"""Places: where the settings and manifests that ship with respcam lie."""

from pathlib import Path

from omegaconf import OmegaConf

_PACKAGE = Path(__file__).resolve().parents[1]
#: folder of ``conf`` and ``data_manifests``: the installed package, or the checkout
SHIPPED = _PACKAGE if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1]
CONF = SHIPPED / "conf"

OmegaConf.register_new_resolver("shipped", lambda: str(SHIPPED), replace=True)
