"""What recovery adapters share: their settings, their steps and the canary writes."""
