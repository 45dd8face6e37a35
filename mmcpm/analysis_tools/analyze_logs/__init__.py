"""What trainings logged: reading, tables and curves."""
