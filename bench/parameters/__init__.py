"""Models counted by their parameters: from the headers of their files, without running anything of them."""
