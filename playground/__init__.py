"""The interactive part, lesson 05's: a panel that makes sounds, and blind listening tests."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "studio": ["Studio"],
        "listening": ["ABX", "Preference", "Rating"],
        "results": ["pool", "summary", "plot"],
    },
)
