// IMAGEN_FAST_TILES: the tile unit that files compiled for AMX use, or its emulation. Not there where
// the compiler knows neither.
#pragma once

#if defined(__AVX512VBMI__) && defined(IMAGEN_FAST_EMULATE_AMX)
#include "amx_emulated.h"
#define IMAGEN_FAST_TILES AmxEmulated
#elif defined(__AVX512VBMI__) && defined(__AMX_BF16__)
#include "amx_tiles.h"
#define IMAGEN_FAST_TILES AmxTiles
#endif
