"""MonoNPHM's geometry (Giebenhain et al., CVPR 2024): sizes in `config`, its 65 anchors in `anchors`, the model in
`model`."""
