"""Numbers of the TIFF tags that are read or written here (TIFF 6.0, appendix A)."""

SUBFILE = 254
WIDTH = 256
HEIGHT = 257
BITS = 258
COMPRESSION = 259
PHOTOMETRIC = 262
FILL_ORDER = 266
OFFSETS = 273
ORIENTATION = 274
SAMPLES = 277
ROWS = 278
COUNTS = 279
X_RESOLUTION = 282
Y_RESOLUTION = 283
PLANAR = 284
RESOLUTION_UNIT = 296
WHITE_POINT = 318
PRIMARIES = 319
TILE_WIDTH = 322
TILE_HEIGHT = 323
TILE_OFFSETS = 324
TILE_COUNTS = 325
EXTRA = 338
FORMAT = 339
XMP = 700
EXIF = 34665
ICC = 34675
GPS = 34853
DNG_VERSION = 50706

# What EXIF says of a photograph: description, maker, model, software, date, artist, copyright,
# and two directories of more. A TIFF file's other tags say how its samples are stored.
DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432, EXIF, GPS)
