"""What the shop sells, as three tables.

A category is handle | title | parent. Goods are category | title | vendor | price | option | option | grams | description,
where an option is `name: value value`; every combination of values becomes a variant.
"""

from __future__ import annotations

from typing import Final

CATEGORIES: Final = """
clothing | Clothing |
shirts | Shirts | clothing
knitwear | Knitwear | clothing
trousers | Trousers | clothing
shoes | Shoes | clothing
home | Home |
kitchen | Kitchen | home
textiles | Textiles | home
pantry | Pantry |
coffee | Coffee & tea | pantry
books | Books |
"""
GOODS: Final = """
shirts | Merino T-shirt | Nordfaden | 49.00 | size: S M L XL | colour: navy ecru moss | 160 | Fine merino, 150 g/m².
shirts | Linen shirt | Nordfaden | 79.00 | size: S M L XL | colour: white sand | 240 | Washed linen, cut straight.
shirts | Heavy T-shirt | Kaiwerk | 35.00 | size: S M L XL | colour: black white | 230 | Organic cotton, 240 g/m².
shirts | Oxford shirt | Kaiwerk | 69.00 | size: S M L XL | colour: blue white | 260 | Button-down collar.
knitwear | Fisherman jumper | Nordfaden | 119.00 | size: S M L XL | colour: navy oatmeal | 640 | Ribbed, from British wool.
knitwear | Wool socks | Nordfaden | 20.00 | size: 36-38 39-41 42-44 | colour: grey rust | 90 | Two pairs.
knitwear | Lambswool scarf | Hiddensee | 45.00 | colour: grey moss rust |  | 180 | 30 x 180 cm.
knitwear | Alpaca beanie | Hiddensee | 32.00 | colour: black oatmeal |  | 70 | Baby alpaca.
trousers | Canvas trousers | Kaiwerk | 89.00 | size: 30 32 34 36 | colour: olive black | 610 | Heavy canvas, wide leg.
trousers | Selvedge jeans | Kaiwerk | 129.00 | size: 30 32 34 36 |  | 780 | 13 oz, raw.
trousers | Corduroy trousers | Kaiwerk | 95.00 | size: 30 32 34 36 | colour: rust navy | 640 | Eight-wale cord.
shoes | Canvas sneakers | Waterkant | 75.00 | size: 37 38 39 40 41 42 43 44 | colour: white | 820 | Natural rubber sole.
shoes | Chelsea boots | Waterkant | 169.00 | size: 38 39 40 41 42 43 44 |  | 1450 | Resoleable.
shoes | Felt slippers | Waterkant | 39.00 | size: 37 39 41 43 |  | 380 | Wool felt.
kitchen | Enamel mug | Feldküche | 12.50 | colour: white blue |  | 220 | 350 ml, for hob and fire.
kitchen | Cast-iron pan | Feldküche | 64.00 | size: 20cm 24cm 28cm |  | 2400 | Seasoned, ready to use.
kitchen | Bread knife | Feldküche | 38.00 |  |  | 190 | Olive-wood handle.
kitchen | Cutting board | Feldküche | 42.00 | size: small large |  | 1300 | Oak, oiled.
kitchen | Pour-over set | Tidenhub | 54.00 |  |  | 700 | Dripper, server, 100 filters.
kitchen | Hand grinder | Tidenhub | 89.00 |  |  | 560 | Steel burrs.
textiles | Linen tea towel | Hiddensee | 16.00 | colour: white blue rust |  | 120 | 50 x 70 cm.
textiles | Waffle towel | Hiddensee | 29.00 | size: hand bath | colour: white moss | 340 | Cotton and linen.
textiles | Wool blanket | Hiddensee | 139.00 | colour: grey navy |  | 1200 | 130 x 180 cm.
textiles | Cushion cover | Hiddensee | 24.00 | colour: sand rust moss |  | 160 | 45 x 45 cm.
coffee | House espresso | Tidenhub | 11.90 | size: 250g 1kg | grind: beans ground | 250 | Chocolate, hazelnut.
coffee | Ethiopia filter | Tidenhub | 14.50 | size: 250g 1kg | grind: beans ground | 250 | Washed, floral.
coffee | Decaf blend | Tidenhub | 12.90 | size: 250g | grind: beans ground | 250 | Sugar-cane process.
coffee | East Frisian tea | Tidenhub | 8.90 | size: 100g 500g |  | 100 | Strong Assam blend.
coffee | Peppermint tea | Tidenhub | 6.50 |  |  | 80 | Whole leaves.
books | Baking with rye | Deichpress | 28.00 |  |  | 900 | 70 recipes.
books | Knots and splices | Deichpress | 19.90 |  |  | 420 | Illustrated.
books | A year of soups | Deichpress | 24.00 |  |  | 760 | 52 recipes.
books | Mending clothes | Deichpress | 22.00 |  |  | 510 | Darning, patching, dyeing.
"""
NEW_GOODS: Final = """
shirts | Striped long-sleeve | Nordfaden | 59.00 | size: S M L XL |  | 220 | Breton stripes.
knitwear | Shetland cardigan | Nordfaden | 139.00 | size: S M L XL | colour: moss rust | 520 | Undyed yarn.
kitchen | Moka pot | Tidenhub | 34.00 | size: 3cups 6cups |  | 600 | For induction too.
textiles | Linen apron | Hiddensee | 39.00 | colour: sand navy |  | 260 | Crossed at the back.
coffee | Winter roast | Tidenhub | 13.90 | size: 250g | grind: beans ground | 250 | Until the end of February.
books | The bread calendar | Deichpress | 18.00 |  |  | 330 | One loaf a week.
"""
