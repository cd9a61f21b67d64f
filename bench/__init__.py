"""How fast and how small `neuro` is, each figure beside what is possible on the same machine in the same minute."""
