// Pictures of any size through an engine, in tiles: what imagen_fast/engine.py does, for programs
// without Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "bundle.h"
#include "named.h"
#include "pool.h"
#include "runner.h"
#include "tiling.h"
#include "turn.h"
#include "view.h"

namespace imagen_fast {

struct PictureOptions {
    std::string precision;           // "fp32", "bf16" or "" for the one to prefer
    std::string isa;                 // see isa.h
    PoolOptions pool;
    std::string device;              // "" or "cpu"; "cuda" or "cuda:N"
    std::int64_t tile = 0;           // 0: by the memory
    std::int64_t overlap = -1;       // negative: default_overlap
    std::uint64_t memory = 0;        // bytes that feature maps may take; 0: see capacity()
};

// Both may be empty; both are called on the thread that runs.
struct Watch {
    std::function<bool()> stop;            // true ends the run
    std::function<void(double)> progress;  // the part of the tiles that is done
};

// May be called from several threads; they take turns, a tile at a time.
class PictureEngine {
public:
    // Throws WeightsError, BackendError as Engine and CudaRunner do; of a model that makes pictures of
    // pictures also MemoryError: none for such a tile; ArgumentError: tile and overlap do not fit.
    PictureEngine(const Bundle&, const PictureOptions&);

    // Runs pictures one after the other, in tiles. Throws BackendError: the model makes no
    // pictures of pictures; ArgumentError: the views do not fit each other, floats lie outside 0 to
    // 1, the model computes means over the picture, for all of which there is too little memory, and
    // no tile was chosen; MemoryError; NotFiniteError; CancelledError.
    void run(const View& in, const View& out, const Watch& = {});

    // All at once and each as one tile. Throws as `run`, and ArgumentError: too many pixels.
    void run_untiled(const View& in, const View& out, const Watch& = {});

    // Computes outputs from inputs by their names, each whole. Throws as `request_for` and `run`.
    void run_graph(const std::vector<Named>& given, const std::vector<Named>& wanted,
                   const Watch& = {});

    // Ends the runs that go on in other threads.
    void cancel();

    // Bytes that `run` holds at most for a picture of this size, of uint8 if `bytes`, beside
    // pictures and weights.
    std::uint64_t memory(std::int64_t height, std::int64_t width, bool bytes) const;

    const Graph& graph() const { return runner_->graph(); }
    bool pictures() const { return pictures_; }  // whether it makes them of pictures
    void refuse_others() const;                  // throws BackendError if it does not
    const Runner& runner() const { return *runner_; }
    std::int64_t overlap() const { return overlap_; }
    std::int64_t exact_overlap() const { return tileable_.exact_overlap; }  // -1: there is none

    const std::map<std::string, std::string> metadata;

private:
    struct Tile;

    void check(const View& in, const View& out) const;
    std::int64_t capacity() const;
    // The tile of a picture, of which `most` pixels may be computed at once.
    std::int64_t automatic(std::int64_t height, std::int64_t width, std::int64_t most) const;
    Tiling grid(std::int64_t height, std::int64_t width) const;
    Tiling cut(std::int64_t height, std::int64_t width);
    void compute(const Shape&, const void* in, void* out, bool bytes,
                 const std::function<bool()>& stop);
    void compute(const Request&, const Arrays&, const std::function<bool()>& stop);
    std::function<bool()> stop_of(const Watch&) const;

    const PictureOptions options_;
    const std::unique_ptr<Runner> runner_;
    const bool pictures_, averages_;
    const bool ours_;  // one of our architectures, whose colours are mended
    const Tileable tileable_;
    const std::int64_t overlap_;
    std::atomic<std::uint64_t> cancels_{0};
    mutable Turn cutting_;
    std::unique_ptr<const Tiling> last_cut_;
};

}  // namespace imagen_fast
