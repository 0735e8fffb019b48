// The kernels for training on odd shapes, for the sanitizers to look at: every instruction set of this
// machine. Arrays end where they must not be read or written any more; tests/training compares values.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "../../imagen_fast/runtime/isa.h"
#include "../../imagen_fast/runtime/training/runner.h"

namespace {

using namespace imagen_fast;

std::mt19937 random_numbers(1);

std::vector<float> floats(std::ptrdiff_t count) {
    std::normal_distribution<float> normal(0.0f, 0.1f);
    std::vector<float> numbers(count);
    for (float& x : numbers) {
        x = normal(random_numbers);
    }
    return numbers;
}

struct Shape {
    int images, height, width;
};

// bfloat16 or float, as PyTorch holds it.
struct Pixels {
    std::vector<std::uint16_t> halves;
    cpu::Plane plane;

    Pixels(const TrainingRunner& runner, Shape s, int channels) {
        const int words = runner.precision == "bf16" ? 1 : 2;
        halves.resize(static_cast<std::size_t>(s.images) * s.height * s.width * channels * words);
        plane = borderless(halves.data(), s.images, s.height, s.width, channels, 2 * words);
        // The upper half of a float of 0.008 to 0.5; the lower one may be anything.
        std::uniform_int_distribution<int> numbers(0x3c00, 0x3f00);
        for (std::uint16_t& x : halves) {
            x = static_cast<std::uint16_t>(numbers(random_numbers));
        }
    }
};

void check(const std::vector<float>& numbers, const std::string& what) {
    for (float x : numbers) {
        if (!std::isfinite(x)) {
            std::fprintf(stderr, "training_runs: %s: not finite\n", what.c_str());
            std::exit(1);
        }
    }
}

void conv_block(TrainingRunner& runner, Shape s, int channels) {
    Pixels x(runner, s, channels), out(runner, s, channels), slopes(runner, s, channels),
        gradient(runner, s, channels), back(runner, s, channels);
    const auto weight = floats(9L * channels * channels), bias = floats(channels);
    const cpu::Conv3x3Weights w{weight.data(), bias.data(), channels, channels};
    cpu::Args args;
    args.x = x.plane;
    args.out = out.plane;
    args.other = slopes.plane;
    runner.run(runner.backward().conv_block(w), args);
    std::vector<float> weights(weight.size()), biases(bias.size());
    float* const sums[] = {weights.data(), biases.data()};
    cpu::GradientArgs given;
    given.x = x.plane;
    given.other = slopes.plane;
    given.gradient = gradient.plane;
    given.x_gradient = back.plane;
    runner.run(runner.backward().conv_block_gradient(w), given, sums);
    check(weights, "conv_block");
    check(biases, "conv_block");
}

void head(TrainingRunner& runner, Shape s, int channels, int scale, int colors) {
    Pixels x(runner, s, channels), back(runner, s, channels);
    const int out = colors * scale * scale;
    const auto weight = floats(9L * channels * out), bias = floats(out);
    const cpu::Conv3x3Weights w{weight.data(), bias.data(), channels, out};
    const long pixels = static_cast<long>(s.images) * s.height * s.width;
    const auto base = floats(pixels * colors);
    std::vector<float> picture(pixels * out);
    cpu::Args args;
    args.x = x.plane;
    args.image = base.data();
    args.picture = picture.data();
    runner.run(runner.backward().head(w, scale, colors), args);
    check(picture, "head");
    std::vector<float> weights(weight.size()), biases(bias.size());
    float* const sums[] = {weights.data(), biases.data()};
    cpu::GradientArgs given;
    given.x = x.plane;
    given.x_gradient = back.plane;
    given.picture_gradient = picture.data();
    runner.run(runner.backward().head_gradient(w, scale, colors), given, sums);
    check(weights, "head");
    check(biases, "head");
}

void attention(TrainingRunner& runner, Shape s, int channels, int head_dim, int window, int shift,
               bool crossed) {
    Pixels x(runner, s, channels), other(runner, s, channels), y(runner, s, channels),
        back(runner, s, channels), other_back(runner, s, channels);
    const int heads = channels / head_dim;
    const long square = static_cast<long>(channels) * channels;
    const auto q = floats(square), kv = floats(2 * square), proj = floats(square),
               temperature = floats(heads), position = floats(1L * window * window * channels);
    const cpu::Attention a{q.data(),        kv.data(),       proj.data(), temperature.data(),
                           position.data(), channels, head_dim, window, shift};
    cpu::GradientArgs given{x.plane, crossed ? other.plane : x.plane, y.plane, back.plane,
                            crossed ? other_back.plane : back.plane};
    std::vector<std::vector<float>> found;
    for (std::size_t size : {q.size(), kv.size(), proj.size(), temperature.size(), position.size()}) {
        found.emplace_back(size);
    }
    float* const sums[] = {found[0].data(), found[1].data(), found[2].data(), found[3].data(),
                           found[4].data()};
    runner.run(runner.backward().window_attention(a), given, sums);
    for (const auto& each : found) {
        check(each, "window_attention");
    }
}

void losses(TrainingRunner& runner, Shape s, int colors) {
    const long samples = static_cast<long>(s.height) * s.width * colors;
    const auto a = floats(s.images * samples), b = floats(s.images * samples);
    std::vector<float> distances(s.images), gradient(a.size()), factors(s.images, 0.5f);
    for (bool squares : {false, true}) {
        runner.picture_distances(a.data(), b.data(), s.images, samples, squares, distances.data());
        runner.picture_distance_gradients(a.data(), b.data(), s.images, samples, squares,
                                          factors.data(), gradient.data());
        check(distances, "picture_distances");
        check(gradient, "picture_distances");
    }
    const cpu::SpectrumArgs args{a.data(), b.data(), gradient.data(), s.images, colors, 0.1f};
    check({static_cast<float>(runner.spectrum_distance(s.height, s.width, args))}, "spectrum");
    check(gradient, "spectrum");
}

}  // namespace

int main() {
    const Shape shapes[] = {{1, 1, 1}, {1, 9, 21}, {2, 17, 8}, {3, 5, 50}};
    for (const std::string& isa : trainable("")) {
        if (isa == "amx") {  // the emulated unit is each file's own, and sanitizers slow it further
            continue;
        }
        for (int threads : {1, 3}) {
            TrainingRunner runner(isa, threads);
            for (Shape shape : shapes) {
                for (int channels : {16, 32, 48, 96}) {
                    conv_block(runner, shape, channels);
                    head(runner, shape, channels, 1 + channels / 16 % 4, channels == 32 ? 1 : 3);
                }
                attention(runner, shape, 32, 32, 8, 4, false);
                attention(runner, shape, 64, 32, 8, 0, true);
                attention(runner, shape, 32, 16, 4, 2, true);
                losses(runner, shape, 3);
            }
        }
        std::printf("training_runs: %s\n", isa.c_str());
    }
    return 0;
}
