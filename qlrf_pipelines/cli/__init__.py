"""`qlrf`: one command = one service call; every command is loaded only when it is called."""
