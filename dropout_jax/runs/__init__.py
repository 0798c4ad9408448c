"""A comparison from start to finish: trained, put into words, drawn, and kept in a folder.

Public are `run`, `outcome` and `saved`.

`run` trains and compares; its `outcome` is what is shown. `verdicts` gives the answer in
sentences, `picture_table` the table with its marks, `views` the names of views, and `wording` the
words for the rest. `pictures` hands the arrays to `plots`, which makes figures, and to `page`,
which makes HTML of the `page_panels`. `layers_page` makes both of the layers of any files. All of
them draw with `panels`, `drawing` and `style`; `notebook` shows a figure, and `svg` puts it into a
page. `write` writes the files of a run, and `saved` reads them back; `folder` marks, locks and
clears where they lie. `tensorboard` writes a run for TensorBoard.
"""
