"""What we ask of the world: one abstract class per need."""
