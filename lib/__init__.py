"""Meta Relay: what the two functions of main.py share; the layers are in tests/test_layers.py."""
