#include "upscaler.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "cpu_runner.h"
#include "cuda_runner.h"
#include "error.h"
#include "neutral.h"
#include "reach.h"

namespace imagen_fast {

namespace {

constexpr std::int64_t kMostPixels = 1 << 28;  // of one tile; as Engine has it

void check_kind(const Bundle& bundle) {
    if (bundle.spec.architecture == "listing") {
        throw BackendError("the model is a listing, which reads rows of numbers; expected a model "
                           "for pictures");
    }
}

std::unique_ptr<Runner> runner_of(const Bundle& bundle, const UpscalerOptions& options) {
    check_kind(bundle);
    if (!options.device.empty() && options.device != "cpu") {
        if (!options.isa.empty()) {
            throw ArgumentError("isa is for the processor; leave it out with device \"" +
                                options.device + "\"");
        }
        return std::make_unique<CudaRunner>(bundle, options.device, options.precision);
    }
    return std::make_unique<CpuRunner>(
        bundle, Options{options.precision, options.isa, options.pool});
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
struct Upscaler::Tile {
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

Upscaler::Upscaler(const Bundle& bundle, const UpscalerOptions& options)
    : metadata(bundle.metadata),
      options_(options),
      runner_(runner_of(bundle, options)),
      alignment_(alignment(bundle.spec)),
      overlap_(options.overlap < 0 ? default_overlap(bundle.spec, options.tile) : options.overlap),
      exact_overlap_(imagen_fast::exact_overlap(bundle.spec, kRamp).value_or(-1)) {
    if (options.tile < 0) {
        throw ArgumentError("tile is " + std::to_string(options.tile) +
                            "; expected a size in pixels, or 0 for automatic");
    }
    // Sizes that cannot work are an error now, whichever pictures will come.
    const std::int64_t tile = options.tile ? options.tile : automatic(capacity() + 1, 1);
    grid_of(tile + 1, tile + 1, tile, overlap_, alignment_);
}

std::int64_t Upscaler::capacity() const { return runner_->capacity(options_.memory); }

std::int64_t Upscaler::automatic(std::int64_t height, std::int64_t width) const {
    const std::int64_t most = capacity();
    const std::int64_t tile = automatic_tile(height, width, most, overlap_, alignment_);
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
                            std::to_string(largest_overlap(side, alignment_)) +
                            ", or a tile of " + std::to_string(tile) + " or more");
    }
    return tile;
}

// A picture as large as the last is cut as that one was: it finds its memory taken already, of which
// less is free for that reason.
Grid Upscaler::grid(std::int64_t height, std::int64_t width) const {
    {
        const std::lock_guard<Turn> lock(cutting_);
        if (last_cut_ && last_cut_->rows.back().stop == height &&
            last_cut_->columns.back().stop == width) {
            return *last_cut_;
        }
    }
    const std::int64_t tile = options_.tile ? options_.tile : automatic(height, width);
    return grid_of(height, width, tile, overlap_, alignment_);
}

Grid Upscaler::cut(std::int64_t height, std::int64_t width) {
    Grid found = grid(height, width);
    auto kept = std::make_unique<const Grid>(found);
    const std::lock_guard<Turn> lock(cutting_);
    last_cut_ = std::move(kept);
    return found;
}

void Upscaler::check(const View& in, const View& out) const {
    if (in.channels != spec().image_channels) {
        throw ArgumentError("the input has " + std::to_string(in.channels) +
                            " channels; expected the model's " +
                            std::to_string(spec().image_channels));
    }
    if (out.bytes != in.bytes) {
        throw ArgumentError(std::string("the output's type is ") + type_of(out) +
                            "; expected the input's, " + type_of(in));
    }
    const std::int64_t height = spec().scale * in.height, width = spec().scale * in.width;
    if (out.channels != in.channels || out.images != in.images ||
        out.height != height || out.width != width) {
        throw ArgumentError("the output must be of (images, height, width, channels) " +
                            text({in.images, height, width, in.channels}) + "; it is " +
                            text({out.images, out.height, out.width, out.channels}));
    }
    if (!within_unit(in)) {
        throw ArgumentError("the input holds floats that do not lie between 0 and 1");
    }
}

std::function<bool()> Upscaler::stop_of(const Watch& watch) const {
    return [this, &watch, before = cancels_.load()] {
        return cancels_.load(std::memory_order_relaxed) != before || (watch.stop && watch.stop());
    };
}

void Upscaler::run(const View& in, const View& out, const Watch& watch) {
    const auto stop = stop_of(watch);
    check(in, out);
    const Grid cut = this->cut(in.height, in.width);
    const int scale = spec().scale;
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

void Upscaler::run_untiled(const View& in, const View& out, const Watch& watch) {
    const auto stop = stop_of(watch);
    check(in, out);
    const Shape shape = shape_of(in.images, in.height, in.width);
    const std::byte* source = in.data;
    std::byte* target = out.data;
    Tile tile;
    if (!in.packed() || !out.packed()) {
        tile.make_room(shape, spec().scale, in.pixel_bytes());
        const std::int64_t bytes = in.height * in.width * in.pixel_bytes();
        for (std::int64_t n = 0; n < in.images; ++n) {
            cut_out(in, n, 0, in.height, 0, in.width, tile.in.data() + n * bytes);
        }
        source = tile.in.data();
        target = tile.out.data();
    }
    compute(shape, source, target, in.bytes, stop);
    if (target != out.data) {
        fill(out, target);
    }
    tell(watch, 1);
}

void Upscaler::compute(const Shape& shape, const void* in, void* out, bool bytes,
                       const std::function<bool()>& stop) {
    if (stop()) {
        throw CancelledError("the run was cancelled");
    }
    const Outcome outcome = runner_->run(shape, in, out, bytes, stop);
    if (outcome == Outcome::cancelled) {
        throw CancelledError("the run was cancelled");
    }
    if (outcome == Outcome::not_finite) {
        throw NotFiniteError(runner_->not_finite());
    }
    if (spec().image_channels == 3) {
        keep_neutral(shape, spec().scale, in, out, bytes);
    }
}

void Upscaler::cancel() {
    cancels_.fetch_add(1);
    runner_->cancel();
}

std::uint64_t Upscaler::memory(std::int64_t height, std::int64_t width, bool bytes) const {
    const Grid cut = grid(height, width);
    // The first tile is as large as any.
    const Span &row = cut.rows[0], &column = cut.columns[0];
    const Shape shape = shape_of(1, row.stop - row.start, column.stop - column.start);
    const std::uint64_t pixel = (bytes ? 1 : sizeof(float)) * spec().image_channels;
    return runner_->memory(shape, bytes) + Tile::bytes(shape, spec().scale, pixel) +
           Joiner::memory(cut, spec().scale, pixel);
}

}  // namespace imagen_fast
