from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import nn

TINY = "test_efficientnet"


@pytest.fixture(scope="session")
def tiny() -> nn.Module:
    """The smallest EfficientNet that timm has, with five classes; tests leave it as it is."""
    import timm
    import torch

    torch.manual_seed(0)
    model: nn.Module = timm.create_model(TINY, num_classes=5).eval()
    return model
