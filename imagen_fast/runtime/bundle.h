// A model's file: a safetensors container, mapped into memory, checked before anything is used.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph.h"
#include "tensors.h"
#include "tiling.h"

namespace imagen_fast {

// Keeps the file mapped, if it has mapped it; `tensors` points into it.
class Bundle {
public:
    // Which files are taken: models, or models with GPU kernels (imagen_fast/export/bundle_file.py)
    // as well.
    enum class Kind { model, any };

    // Throws WeightsError, its message beginning with the path: the file cannot be read; its
    // header is damaged, larger than 16 MiB or not JSON; a tensor's type is not F32 or F16, nor, beside
    // kernels, BF16 or U8; sizes,
    // offsets and shapes disagree; tensors overlap, leave gaps or end elsewhere than the file; it
    // is not an imagen-fast model, or one for a newer version.
    explicit Bundle(const std::string& path, Kind = Kind::model);
    // A file's bytes, which must stay where they are. Throws WeightsError alike.
    Bundle(const void* data, std::size_t size, Kind = Kind::model);
    Bundle(const Bundle&) = delete;
    Bundle& operator=(const Bundle&) = delete;
    ~Bundle();

    Graph graph;
    Tileable tileable;
    std::map<std::string, std::string> metadata;
    Tensors tensors;
    bool kernels = false;  // with a plan and GPU kernels, and weights for them alone

    // The whole file.
    std::vector<char> copy() const;

private:
    void map(const std::string& path);
    void unmap();
    void read(Kind);
    void check_format(Kind);
    void check_types() const;
    // What a number in the metadata says, if it is there. Throws WeightsError: it is out of range.
    std::optional<std::int64_t> whole_number(const char* key, std::int64_t low,
                                             std::int64_t high) const;

    const void* data_ = nullptr;
    std::size_t size_ = 0;
    void* mapped_ = nullptr;
};

}  // namespace imagen_fast
