"""The page in real browsers; a package, so that its tests share them."""
