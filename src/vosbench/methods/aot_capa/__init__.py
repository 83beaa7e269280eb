"""AOT with class-agnostic pairwise affinity (CAPA): identification transformer, DeAOT, and the affinity branch."""
