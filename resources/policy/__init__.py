"""Policies in Rego: the folder they are kept in, and the engines that judge by them."""
