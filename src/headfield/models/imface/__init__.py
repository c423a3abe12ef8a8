"""ImFace (Zheng et al., CVPR 2022): its sizes in `config`, blend fields in `networks`, the model in `model`."""
