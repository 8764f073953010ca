"""Membership inference: whom a backbone was trained on, by attacks with controls of their own."""
