"""What judges images: each module has a class that is shown images and tells numbers of them."""
