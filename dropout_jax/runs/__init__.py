"""A comparison from start to finish: trained, put into words, drawn, and kept in a folder.

`run` trains and compares; its `outcome` is what all others show. `verdicts` gives the answer in
sentences, `wording` the words for the rest. `pictures` hands its arrays to `plots`, which makes
figures, and to `page`, which makes HTML of the `page_panels`. `layers_page` makes both of the
layers of any files. All of them draw with `panels` and `style`; `svg` puts a figure into a page.
`write` writes the `folder` of a run, and `saved` reads it back. `tensorboard` writes it for
TensorBoard.
"""
