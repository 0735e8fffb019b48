// Options of the C API as the runtime takes them; what cannot be is an ArgumentError.
#pragma once

#include "../include/imagen_fast.h"
#include "picture_engine.h"
#include "video_stream.h"

namespace imagen_fast {

PictureOptions options_of(const imagen_fast_options*);
Watch watch_of(const imagen_fast_run_options*);
StreamOptions options_of(const imagen_fast_stream_options*);
FrameMemory frame_of(const imagen_fast_frame*, const char* name);

}  // namespace imagen_fast
