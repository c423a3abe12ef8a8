"""IMAvatar (Zheng et al. 2022): a personal implicit morphable head avatar, learned from a video."""
