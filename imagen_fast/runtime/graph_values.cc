// Channels and grids of what operations give, as imagen_fast/graph's tables of kinds have them.
#include "error.h"
#include "graph_kinds.h"

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;

class Inference {
public:
    Inference(const Graph& graph, const std::string& what, const Operation& operation)
        : graph_(graph), what_(what), o_(operation) {}

    Value value() const {
        expect(o_.inputs[0] != kNone, "leaves out its first input");
        const Value& x = read(0);
        Value y;
        y.channels = o_.channels ? o_.channels : x.channels;
        y.grid = x.grid;
        std::size_t same = o_.inputs.size();  // inputs from here on are as what it gives
        bool second_may_lack = false;
        switch (o_.kind) {
            case Kind::convolution:
                if (o_.padding == cpu::Padding::valid) {
                    expect(o_.stride == 1 && o_.kernel % 2 == 1,
                           "padding is valid for a stride of 1 and odd kernels alone");
                    y.grid = widened(y.grid, -(o_.kernel / 2));
                }
                expect(!o_.depthwise || o_.channels == x.channels,
                       "has other channels than its input");
                y.grid = o_.stride == 2 ? halved(y.grid) : y.grid;
                same = 1;
                break;
            case Kind::subpixel_convolution: {
                const Value* base = second();
                expect(o_.channels * o_.factor * o_.factor <= kMostChannels, "too many channels");
                expect(!base || (base->channels == o_.channels && base->grid == x.grid),
                       "its base does not fit");
                y.grid = enlarged(x.grid, o_.factor);
                second_may_lack = true;
                break;
            }
            case Kind::transposed_convolution: {
                const Value* skip = second();
                expect(o_.kernel % 2 == 0, "its kernel is odd");
                y.grid = skip ? skip->grid : enlarged(x.grid, 2);
                expect(!skip || halved(y.grid) == x.grid, "its skip is not twice as large");
                same = 1;
                second_may_lack = true;
                break;
            }
            case Kind::window_attention:
            case Kind::global_attention:
            case Kind::attention_map:
                attention(x, y);
                same = 2;
                second_may_lack = true;
                break;
            case Kind::sum:
                expect(static_cast<std::size_t>(o_.minus) < o_.inputs.size(),
                       "subtracts all of its inputs");
                broadcast(y);
                break;
            case Kind::product:
                broadcast(y);
                break;
            case Kind::reduce:
                if (o_.over == Operation::Over::channels) {
                    y.channels = 1;
                } else {
                    y.grid = {kNone, 0, 1, 0};
                }
                break;
            case Kind::concatenate: {
                y.channels = 0;
                for (std::size_t i = 0; i < o_.inputs.size(); ++i) {
                    expect(o_.inputs[i] != kNone && read(i).grid == x.grid,
                           "its inputs lie on different grids");
                    y.channels += read(i).channels;  // of 16 inputs at most
                }
                expect(y.channels <= kMostChannels, "too many channels");
                break;
            }
            case Kind::slice:
                expect(o_.first + o_.channels <= x.channels, "its input has fewer channels");
                break;
            case Kind::pixel_shuffle:
                expect(x.channels % (o_.factor * o_.factor) == 0,
                       "channels are no multiple of factor²");
                y.channels = x.channels / (o_.factor * o_.factor);
                y.grid = enlarged(x.grid, o_.factor);
                break;
            case Kind::pixel_unshuffle:
                expect((o_.factor & (o_.factor - 1)) == 0, "its factor is no power of two");
                y.channels = x.channels * o_.factor * o_.factor;
                expect(y.channels <= kMostChannels, "too many channels");
                for (int factor = o_.factor; factor > 1; factor /= 2) {
                    y.grid = halved(y.grid);
                }
                break;
            case Kind::nearest:
            case Kind::bilinear:
                y.grid = enlarged(x.grid, o_.factor);
                break;
            case Kind::halve:
                y.grid = halved(x.grid);
                break;
            case Kind::max_pool:
                y.grid = o_.stride == 2 ? halved(x.grid) : x.grid;
                break;
            case Kind::pad:
                y.grid = widened(completed(x.grid), o_.margin);
                break;
            case Kind::crop:
                y.grid = cropped(x.grid);
                second_may_lack = true;
                break;
            case Kind::layer_norm:
                break;
        }
        for (std::size_t i = 0; i < o_.inputs.size(); ++i) {
            expect(o_.inputs[i] != kNone || (i == 1 && second_may_lack), "leaves out an input");
            expect(i < same || o_.inputs[i] == kNone || read(i) == y, "what it adds does not fit");
        }
        return y;
    }

private:
    void expect(bool fits, const char* problem) const {
        if (!fits) {
            throw WeightsError(what_ + ": " + problem);
        }
    }
    const Value& read(std::size_t place) const {
        return graph_.values[static_cast<std::size_t>(o_.inputs[place])];
    }
    const Value* second() const { return o_.input(1) == kNone ? nullptr : &read(1); }

    void attention(const Value& x, Value& y) const {
        const Value* context = second();
        expect(x.channels % o_.head_dim == 0, "channels are no multiple of head_dim");
        expect(!context || context->channels == x.channels, "its context does not fit");
        expect(!o_.plain || (o_.head_dim == x.channels && o_.inputs.size() == 1),
               "the listing's attention has one head and one input");
        if (o_.kind == Kind::global_attention) {
            return;
        }
        expect(!context || *context == x, "its context does not fit");
        expect(o_.window % 2 == 0 && (o_.shift == 0 || o_.shift == o_.window / 2),
               "its window is odd, or shifted by anything but half");
        if (o_.kind == Kind::attention_map) {
            y.channels = x.channels / o_.head_dim * o_.window * o_.window;
            expect(y.channels <= kMostChannels, "too many channels");
        }
    }

    // What has one channel or one pixel counts for all.
    void broadcast(Value& y) const {
        for (std::size_t i = 1; i < o_.inputs.size(); ++i) {
            expect(o_.inputs[i] != kNone, "leaves out an input");
            y.channels = y.channels == 1 ? read(i).channels : y.channels;
            y.grid = y.grid.one_pixel() ? read(i).grid : y.grid;
        }
        for (std::size_t i = 0; i < o_.inputs.size(); ++i) {
            expect((read(i).channels == 1 || read(i).channels == y.channels) &&
                       (read(i).grid.one_pixel() || read(i).grid == y.grid),
                   "its inputs differ in channels or grid");
        }
    }

    Grid halved(Grid grid) const {
        expect(!grid.one_pixel() && grid.around % 2 == 0, "its grid cannot be halved");
        grid.around /= 2;
        if (grid.factor % 2 == 0) {
            grid.factor /= 2;
        } else {
            expect(grid.factor == 1 && grid.halvings < kMostHalvings, "its grid cannot be halved");
            ++grid.halvings;
        }
        return grid;
    }
    Grid enlarged(Grid grid, int factor) const {
        expect(factor == 1 || !grid.one_pixel(), "a single pixel cannot be enlarged");
        expect(grid.factor * factor <= kMostFactor && grid.around * factor <= kMostFactor,
               "its grid is too fine");
        grid.factor *= factor;
        grid.around *= factor;
        return grid;
    }
    Grid widened(Grid grid, int margin) const {
        expect(margin == 0 || !grid.one_pixel(), "a single pixel has no margin");
        grid.around += 2 * margin;
        expect(grid.around >= 0 && grid.around <= kMostFactor, "its grid has no such margin");
        return grid;
    }
    Grid completed(Grid grid) const {
        const int part = 1 << o_.halvings;
        if (part == 1 || (!grid.one_pixel() && grid.around == 0 && grid.factor % part == 0)) {
            return grid;
        }
        expect(!grid.one_pixel() && grid.around == 0 && grid.factor == 1 &&
                   grid.halvings + o_.halvings <= kMostHalvings,
               "its grid cannot be completed");
        return {grid.of, grid.halvings + o_.halvings, part, 0};
    }
    Grid cropped(const Grid& grid) const {
        const Value* like = second();
        expect(like || o_.factor == 1, "a factor is of what it is like, and there is nothing");
        const Grid target = like ? enlarged(like->grid, o_.factor) : widened(grid, -o_.margin);
        const std::int64_t one = 1;
        expect(grid.of == target.of &&
                   grid.factor * (one << target.halvings) == target.factor * (one << grid.halvings) &&
                   grid.halvings >= target.halvings && grid.around - 2 * o_.margin == target.around,
               "what it is like does not lie within its input");
        return target;
    }

    const Graph& graph_;
    const std::string& what_;
    const Operation& o_;
};

}  // namespace

Value value_of(const Graph& graph, const std::string& what, const Operation& operation) {
    return Inference(graph, what, operation).value();
}

}  // namespace imagen_fast
