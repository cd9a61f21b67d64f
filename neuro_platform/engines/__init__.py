"""What runs the programs, behind one contract."""
