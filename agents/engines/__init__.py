"""What answers an agent's task: the embedded engine, the scripted double, a recorded trace."""
