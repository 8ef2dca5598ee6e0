"""respcam: which frequencies does a respiratory-sound classifier listen to?

In a notebook::

    import respcam

Settings and errors:

- `AudioSettings`: rate and level of every recording
- `FrontEnd`: the bands of the log-mel
- `PatchSettings`: where patches are cut
- `HzGroups`: groups of Hz for reporting
- `Refused`: what a user can mend, in one line; `Unusable`: the same of a recording

From a recording to patches:

- `read_audio`: any audio file as one waveform
- `log_mel`: the log-mel of a waveform
- `cut_patches`: the patches of a log-mel

Of any `torch.nn.Module`:

- `heat_of`: heat of patches (class activation maps)
- `band_profile`: heat per band and per group of Hz
- `band_drops`: what it costs the score to take a group of Hz away

Of a finished run:

- `open_run`: its model, for new recordings: probability, heat and profile

Each of them is imported when it is first used, so ``import respcam`` takes milliseconds.
"""

from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "data.patches": ["PatchSettings", "cut_patches"],
        "errors": ["Refused", "Unusable"],
        "experiments.opened_run": ["open_run"],
        "heat.band_heat": ["band_profile"],
        "heat.bands": ["HzGroups"],
        "network.attribution": ["band_drops", "heat_of"],
        "sound.audio": ["AudioSettings", "read_audio"],
        "sound.front_end": ["FrontEnd", "log_mel"],
    },
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("respcam")
    return _attribute(name)
