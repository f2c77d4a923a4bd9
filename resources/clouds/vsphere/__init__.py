"""vSphere: the vCenter API."""
