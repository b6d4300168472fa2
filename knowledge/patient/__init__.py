"""What is known of one patient: a FHIR record as visits, what of a history is shown, and how values moved."""
