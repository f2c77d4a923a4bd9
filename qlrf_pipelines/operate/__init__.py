"""Running the platform on one machine: the instance, the long-lived processes, their health."""
