"""The colours of every plot: Okabe and Ito's palette, which colour-blind readers can tell apart.

Plots never use colour alone: marker or line style says the same a second time.

References
----------
Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/.
"""

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Blue, orange, green, purple, sky blue, vermilion, black."""
GREY = "#999999"
