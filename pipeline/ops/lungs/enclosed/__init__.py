"""What a lung encloses and is no air, by what is seen from inside: masses, nodules on vessels."""
