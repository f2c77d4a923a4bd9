"""The hands: adapters, the only room that may import a vendor SDK."""
