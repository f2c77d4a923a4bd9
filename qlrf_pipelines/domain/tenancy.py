"""Whose something is: the one word every room shares, in a module that loads nothing else."""

from typing import NewType

TenantId = NewType("TenantId", str)
