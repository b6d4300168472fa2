"""Opening pictures safely: PNG, JPEG, TIFF, DICOM and NIfTI become de-identified pixels. It measures nothing."""
