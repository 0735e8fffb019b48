// Forward and backward passes of single operators on memory that somebody else holds: what
// PyTorch's own layers would do, by the kernels of one instruction set.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "../../../kernels/cpu/buffer.h"
#include "../../../kernels/training/op.h"
#include "../pool.h"

namespace imagen_fast {

// A plane without a border over (N, H, W, C) elements in a row, each of so many bytes. Only kernels
// that read no border may have it.
cpu::Plane borderless(void* data, int images, int height, int width, int channels, int bytes);

// Names, best first, of the instruction sets that have kernels for training in this build and on this
// processor: in a precision, or "" for any. Each computes in one. With the variable IMAGEN_FAST_ISA
// no others.
std::vector<std::string> trainable(const std::string& precision);

// One call at a time; others wait.
class TrainingRunner {
public:
    // `isa`: a name of `trainable`, or "" for the variable IMAGEN_FAST_ISA or else the best. Throws
    // BackendError: it has no kernels for training, or cannot run here.
    TrainingRunner(const std::string& isa, int threads);

    const std::string isa, precision;
    int threads() const { return pool_.threads(); }
    const cpu::KernelSet& forward() const { return forward_; }
    const cpu::TrainingSet& backward() const { return backward_; }

    // Takes the operator, and runs it.
    void run(cpu::Op*, const cpu::Args&);
    // The same; adds to the weights' gradients, in the order that the operator's maker says.
    void run(cpu::GradientOp*, const cpu::GradientArgs&, float* const* gradients);
    // Of each of some pictures of `samples` samples: TrainingSet::picture_distance → distances, and
    // its gradient times a factor.
    void picture_distances(const float* a, const float* b, int pictures, std::ptrdiff_t samples,
                           bool squares, float* distances);
    void picture_distance_gradients(const float* a, const float* b, int pictures,
                                    std::ptrdiff_t samples, bool squares, const float* factors,
                                    float* gradient);
    // The distance of spectra of pictures of height × width.
    double spectrum_distance(int height, int width, const cpu::SpectrumArgs&);

private:
    void reserve(std::size_t bytes);

    const cpu::KernelSet& forward_;
    const cpu::TrainingSet& backward_;
    std::mutex turn_;
    Pool pool_;
    std::vector<cpu::Buffer> scratch_;  // of each thread
    std::map<std::pair<int, int>, std::unique_ptr<cpu::SpectrumOp>> spectra_;  // by size
};

}  // namespace imagen_fast
