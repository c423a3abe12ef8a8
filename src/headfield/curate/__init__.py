"""Raw scans to training data: subjects, landmarks, alignment, parametric fit, completion, registration, samples."""
