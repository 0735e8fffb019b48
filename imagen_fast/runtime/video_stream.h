// Frames of a running video through an engine, one after the other: what imagen_fast/streaming.py
// does, for programs without Python.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "picture_engine.h"
#include "yuv.h"

namespace imagen_fast {

enum class FrameLayout { rgb = 1, bgr = 2, nv12 = 3, i420 = 4 };

// A frame in the caller's memory: its planes, and bytes from one row to the next; 0: the least.
struct FrameMemory {
    std::uint8_t* planes[3] = {};
    std::int64_t strides[3] = {};
};

struct StreamOptions {
    FrameLayout in = FrameLayout::rgb, out = FrameLayout::rgb;
    std::int64_t height = 0, width = 0;
    LumaWeights weights = kBt601;
    bool full_range = false;
};

class VideoStream {
public:
    // Throws ArgumentError: sizes that 4:2:0 cannot have; BackendError: the model makes no pictures
    // of three channels of such. A model for videos computes frames whole, each with the one before
    // in mind; after a scene cut it begins anew.
    VideoStream(PictureEngine&, const StreamOptions&);

    // Computes a frame; when it returns, the result is there. Threads take turns. Throws as
    // PictureEngine::run, and ArgumentError: a plane is missing, or strides are too short.
    void push(const FrameMemory& in, const FrameMemory& out, const Watch&);

private:
    void run_recurrent(const View& in, const View& out, const Watch&);
    bool is_cut(const View& frame);

    PictureEngine& engine_;
    const StreamOptions options_;
    const Yuv yuv_;
    std::mutex turn_;
    std::vector<std::uint8_t> given_, made_;  // RGB, of layouts that are not; of a recurrent model
    bool recurrent_ = false, begun_ = false;
    std::vector<float> previous_, next_;
    std::vector<std::int64_t> seen_;  // sums of green over squares of the frame before
};

}  // namespace imagen_fast
