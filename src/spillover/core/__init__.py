"""What all modules share: types, config, errors, files, runs, languages. No torch."""
