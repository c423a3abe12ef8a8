"""NPM (Palafox et al., ICCV 2021, as NPHM compares with it): its sizes in `config`, the model in `model`."""
