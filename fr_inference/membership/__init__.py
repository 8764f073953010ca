"""Membership inference: attacks that find out whom a backbone was trained on, each with its controls."""
