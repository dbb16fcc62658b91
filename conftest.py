"""pytest's settings for both runs: strict nbval over the lessons, and the unit tests."""

from __future__ import annotations

import os

import pytest

pytest_plugins = ["tools.printed"]


def pytest_configure(config: pytest.Config) -> None:
    if config.option.nbval:  # the lessons' kernels inherit it
        from tools.lessons import ENVIRONMENT  # not above: pytest rewrites the asserts of tools.printed first

        os.environ.update(ENVIRONMENT)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if needs_cuda := [item for item in items if "gpu" in item.keywords]:
        import torch

        if not torch.cuda.is_available():
            for item in needs_cuda:
                item.add_marker(pytest.mark.skip(reason="needs CUDA"))
