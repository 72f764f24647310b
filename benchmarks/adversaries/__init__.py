"""Adversaries of a network, ours beside foolbox's and torchattacks': how often they succeed, how much they change."""
