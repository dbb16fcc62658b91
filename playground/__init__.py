"""Import the interactive part: a panel that makes sounds, blind listening tests, a microphone."""

import lazy_loader

PARTS = {"studio": ["Studio"], "listening": ["ABX", "Preference", "Rating"], "results": ["pool", "summary", "plot"]}
PARTS |= {"microphone": ["Microphone"]}
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=PARTS)
