#include "picture_engine.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "color_bounds.h"
#include "cpu_runner.h"
#include "cuda_runner.h"
#include "error.h"
#include "flat.h"
#include "neutral.h"

namespace imagen_fast {

namespace {

constexpr std::int64_t kMostPixels = 1 << 28;  // of one tile; as Engine has it

std::unique_ptr<Runner> runner_of(const Bundle& bundle, const PictureOptions& options) {
    if (!options.device.empty() && options.device != "cpu") {
        if (!options.isa.empty()) {
            throw ArgumentError("isa is for the processor; leave it out with device \"" +
                                options.device + "\"");
        }
        return std::make_unique<CudaRunner>(bundle, options.device, options.precision);
    }
    return std::make_unique<CpuRunner>(
        bundle, EngineOptions{options.precision, options.isa, options.pool});
}

Shape shape_of(std::int64_t images, std::int64_t height, std::int64_t width) {
    if (height > kMostPixels / width || images > kMostPixels / (height * width)) {
        throw ArgumentError("a tile of " + text({images, height, width}) +
                            " pixels is too large; expected at most " +
                            std::to_string(kMostPixels) + ", in several runs or smaller tiles");
    }
    return {static_cast<int>(images), static_cast<int>(height), static_cast<int>(width)};
}

const char* type_of(const View& view) {
    return view.bytes ? "IMAGEN_FAST_UINT8" : "IMAGEN_FAST_FLOAT32";
}

void tell(const Watch& watch, double done) {
    if (watch.progress) {
        watch.progress(done);
    }
}

}  // namespace

// What a tile is cut into and computed into, where it cannot be done in place.
struct PictureEngine::Tile {
    std::vector<std::byte> in, out;

    static std::uint64_t bytes(const Shape& shape, int scale, std::uint64_t pixel) {
        return pixel * (1 + scale * scale) * shape.images * shape.height * shape.width;
    }
    void make_room(const Shape& shape, int scale, std::int64_t pixel) {
        const std::size_t pixels =
            static_cast<std::size_t>(shape.images) * shape.height * shape.width;
        in.resize(std::max(in.size(), pixels * pixel));
        out.resize(std::max(out.size(), pixels * pixel * scale * scale));
    }
};

PictureEngine::PictureEngine(const Bundle& bundle, const PictureOptions& options)
    : metadata(bundle.metadata),
      options_(options),
      runner_(runner_of(bundle, options)),
      pictures_(makes_pictures(bundle.graph)),
      averages_(averages(bundle.graph)),
      ours_(bundle.metadata.count("spec") != 0 && bundle.graph.channels() == 3),
      tileable_(bundle.tileable),
      overlap_(options.overlap < 0 ? default_overlap(tileable_, options.tile) : options.overlap) {
    if (options.tile < 0) {
        throw ArgumentError("tile is " + std::to_string(options.tile) +
                            "; expected a size in pixels, or 0 for automatic");
    }
    if (!pictures_) {
        return;
    }
    // Sizes that cannot work are an error now, whichever pictures will come.
    const std::int64_t most = options.tile ? 0 : capacity();
    const std::int64_t tile = options.tile ? options.tile : automatic(most + 1, 1, most);
    grid_of(tile + 1, tile + 1, tile, overlap_, tileable_.alignment);
}

std::int64_t PictureEngine::capacity() const { return runner_->capacity(options_.memory); }

std::int64_t PictureEngine::automatic(std::int64_t height, std::int64_t width,
                                      std::int64_t most) const {
    const std::int64_t tile = automatic_tile(height, width, most, overlap_, tileable_.alignment,
                                             runner_->largest_tile());
    if (height > most / width && tile > most / tile) {
        const auto side = static_cast<std::int64_t>(std::sqrt(most));
        if (overlap_ <= kDefaultOverlap) {
            throw MemoryError("memory is free for tiles of " + std::to_string(side) +
                              " pixels, and the smallest have " + std::to_string(tile) +
                              "; end other programs, or choose a tile to try it all the same");
        }
        throw ArgumentError("an overlap of " + std::to_string(overlap_) + " needs tiles of " +
                            std::to_string(tile) + " pixels, and those chosen here have up to " +
                            std::to_string(side) + "; expected an overlap of at most " +
                            std::to_string(largest_overlap(side, tileable_.alignment)) +
                            ", or a tile of " + std::to_string(tile) + " or more");
    }
    return tile;
}

// A picture as large as the last is cut as that one was: it finds its memory taken already, of which
// less is free for that reason.
Tiling PictureEngine::grid(std::int64_t height, std::int64_t width) const {
    {
        const std::lock_guard<Turn> lock(cutting_);
        if (last_cut_ && last_cut_->rows.back().stop == height &&
            last_cut_->columns.back().stop == width) {
            return *last_cut_;
        }
    }
    if (options_.tile) {
        return grid_of(height, width, options_.tile, overlap_, tileable_.alignment);
    }
    const std::int64_t most = capacity();
    if (averages_ && height > most / width) {
        throw ArgumentError("the model computes means over the whole picture, and one of " +
                            text({height, width}) + " pixels takes more memory than there is for "
                            "it (enough for " + std::to_string(most) + " pixels); choose a tile "
                            "to have it in tiles, which changes it, or allow more memory");
    }
    return grid_of(height, width, automatic(height, width, most), overlap_, tileable_.alignment);
}

void PictureEngine::refuse_others() const {
    if (!pictures_) {
        throw BackendError("the model makes no picture of a picture alone; expected one that does, "
                           "or a run with named inputs and outputs");
    }
}

Tiling PictureEngine::cut(std::int64_t height, std::int64_t width) {
    Tiling found = grid(height, width);
    auto kept = std::make_unique<const Tiling>(found);
    const std::lock_guard<Turn> lock(cutting_);
    last_cut_ = std::move(kept);
    return found;
}

void PictureEngine::check(const View& in, const View& out) const {
    refuse_others();
    if (in.channels != graph().channels()) {
        throw ArgumentError("the input has " + std::to_string(in.channels) +
                            " channels; expected the model's " +
                            std::to_string(graph().channels()));
    }
    if (out.bytes != in.bytes) {
        throw ArgumentError(std::string("the output's type is ") + type_of(out) +
                            "; expected the input's, " + type_of(in));
    }
    const std::int64_t height = graph().scale() * in.height, width = graph().scale() * in.width;
    if (out.channels != in.channels || out.images != in.images ||
        out.height != height || out.width != width) {
        throw ArgumentError("the output must be of (images, height, width, channels) " +
                            text({in.images, height, width, in.channels}) + "; it is " +
                            text({out.images, out.height, out.width, out.channels}));
    }
    if (!within(in, 0, 1)) {
        throw ArgumentError("the input holds floats that do not lie between 0 and 1");
    }
}

std::function<bool()> PictureEngine::stop_of(const Watch& watch) const {
    return [this, &watch, before = cancels_.load()] {
        return cancels_.load(std::memory_order_relaxed) != before || (watch.stop && watch.stop());
    };
}

void PictureEngine::run(const View& in, const View& out, const Watch& watch) {
    const auto stop = stop_of(watch);
    check(in, out);
    const Tiling cut = this->cut(in.height, in.width);
    const int scale = graph().scale();
    const double tiles = static_cast<double>(in.images) * cut.tiles();
    const bool in_place = cut.tiles() == 1 && in.packed() && out.packed();
    double done = 0;
    Tile tile;
    for (std::int64_t n = 0; n < in.images; ++n) {
        if (in_place) {
            compute(shape_of(1, in.height, in.width), in.at(n, 0, 0), out.at(n, 0, 0), in.bytes,
                    stop);
            tell(watch, ++done / tiles);
            continue;
        }
        Joiner joiner(cut, scale, out, n);
        for (std::size_t r = 0; r < cut.rows.size(); ++r) {
            for (std::size_t c = 0; c < cut.columns.size(); ++c) {
                const Span &row = cut.rows[r], &column = cut.columns[c];
                const Shape shape = shape_of(1, row.stop - row.start, column.stop - column.start);
                tile.make_room(shape, scale, in.pixel_bytes());
                cut_out(in, n, row.start, row.stop, column.start, column.stop, tile.in.data());
                compute(shape, tile.in.data(), tile.out.data(), in.bytes, stop);
                joiner.add(r, c, tile.out.data());
                tell(watch, ++done / tiles);
            }
        }
    }
}

void PictureEngine::run_untiled(const View& in, const View& out, const Watch& watch) {
    const auto stop = stop_of(watch);
    check(in, out);
    const Shape shape = shape_of(in.images, in.height, in.width);
    const std::byte* source = in.data;
    std::byte* target = out.data;
    Tile tile;
    if (!in.packed() || !out.packed()) {
        tile.make_room(shape, graph().scale(), in.pixel_bytes());
        pack(in, tile.in.data());
        source = tile.in.data();
        target = tile.out.data();
    }
    compute(shape, source, target, in.bytes, stop);
    if (target != out.data) {
        fill(out, target);
    }
    tell(watch, 1);
}

void PictureEngine::compute(const Shape& shape, const void* in, void* out, bool bytes,
                       const std::function<bool()>& stop) {
    compute(Request::picture(shape, bytes), {{in}, {out}}, stop);
    if (ours_ && graph().scale() > 1) {
        bound_colors(shape, graph().scale(), in, out, bytes, options_.pool.threads);
    } else if (graph().channels() == 3) {
        keep_neutral(shape, graph().scale(), in, out, bytes, options_.pool.threads);
        if (ours_) {
            keep_flat(shape, in, out, bytes, options_.pool.threads);
        }
    }
}

void PictureEngine::compute(const Request& request, const Arrays& arrays,
                       const std::function<bool()>& stop) {
    if (stop()) {
        throw CancelledError("the run was cancelled");
    }
    const Outcome outcome = runner_->run(request, arrays, stop);
    if (outcome == Outcome::cancelled) {
        throw CancelledError("the run was cancelled");
    }
    if (outcome == Outcome::not_finite) {
        throw NotFiniteError(runner_->not_finite());
    }
}

void PictureEngine::run_graph(const std::vector<Named>& given, const std::vector<Named>& wanted,
                         const Watch& watch) {
    const auto stop = stop_of(watch);
    const Request request = request_for(graph(), given, wanted);
    check_samples(graph(), given);
    for (const Named& one : wanted) {
        check_size(graph(), request, one);
    }
    // What lies in the caller's memory with gaps passes through memory without.
    std::vector<std::vector<std::byte>> copies;
    copies.reserve(given.size() + wanted.size());
    const auto copy = [&](const View& view) {
        copies.emplace_back(static_cast<std::size_t>(view.packed_bytes()));
        return copies.back().data();
    };
    Arrays arrays;
    for (const Named& one : given) {
        std::byte* const packed = one.view.packed() ? one.view.data : copy(one.view);
        if (packed != one.view.data) {
            pack(one.view, packed);
        }
        arrays.in.push_back(packed);
    }
    for (const Named& one : wanted) {
        arrays.out.push_back(one.view.packed() ? one.view.data : copy(one.view));
    }
    compute(request, arrays, stop);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (arrays.out[i] != wanted[i].view.data) {
            fill(wanted[i].view, static_cast<const std::byte*>(arrays.out[i]));
        }
    }
    tell(watch, 1);
}

void PictureEngine::cancel() {
    cancels_.fetch_add(1);
    runner_->cancel();
}

std::uint64_t PictureEngine::memory(std::int64_t height, std::int64_t width, bool bytes) const {
    refuse_others();
    const Tiling cut = grid(height, width);
    // The first tile is as large as any.
    const Span &row = cut.rows[0], &column = cut.columns[0];
    const Shape shape = shape_of(1, row.stop - row.start, column.stop - column.start);
    const std::uint64_t pixel = (bytes ? 1 : sizeof(float)) * graph().channels();
    return runner_->memory(Request::picture(shape, bytes)) + Tile::bytes(shape, graph().scale(), pixel) +
           Joiner::memory(cut, graph().scale(), pixel);
}

}  // namespace imagen_fast
