"""The backbones against PyTorch: `oracle` (needs torch), its outputs in `fixtures`, the tests."""
