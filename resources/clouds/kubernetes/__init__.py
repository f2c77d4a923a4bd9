"""Kubernetes: any cluster's API server."""
