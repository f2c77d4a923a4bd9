"""The reflexes: the only room that decides when."""
