#include "bundle.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "error.h"
#include "json.h"

namespace imagen_fast {

namespace {

constexpr std::uint64_t kLengthBytes = 8, kLargestHeader = 16 << 20;
constexpr std::size_t kMostDimensions = 8;
constexpr char kFormat[] = "imagen-fast-2", kFamily[] = "imagen-fast-";
constexpr char kLfs[] = "version https://git-lfs";
constexpr char kKernels[] = "imagen-fast-cuda-4";

const std::map<std::string, Dtype, std::less<>> kTypes = {
    {"F32", Dtype::f32}, {"F16", Dtype::f16}, {"BF16", Dtype::bf16}, {"U8", Dtype::u8}};

using Range = std::pair<std::uint64_t, std::uint64_t>;

// The bytes that a tensor says it takes, relative to the end of the header.
Range range_of(const std::string& name, const Json::Object& entry) {
    const auto field = [&](const char* key) -> const Json& {
        const auto found = entry.find(key);
        if (found == entry.end() || entry.size() != 3) {
            throw WeightsError("tensor '" + name +
                               "' must have exactly dtype, shape and data_offsets");
        }
        return found->second;
    };
    const std::string& dtype = field("dtype").string("dtype of '" + name + "'");
    const auto type = kTypes.find(dtype);
    if (type == kTypes.end()) {
        throw WeightsError("tensor '" + name + "' is " + dtype + "; expected F32 or F16");
    }
    const auto& shape = field("shape").array("shape of '" + name + "'");
    if (shape.size() > kMostDimensions) {
        throw WeightsError("tensor '" + name + "' has too many dimensions");
    }
    std::uint64_t bytes = bytes_of(type->second);
    for (const Json& side : shape) {
        const std::int64_t length = side.integer("shape of '" + name + "'");
        if (length <= 0 ||
            bytes > std::numeric_limits<std::uint64_t>::max() / static_cast<std::uint64_t>(length)) {
            throw WeightsError("tensor '" + name + "' has an impossible shape");
        }
        bytes *= static_cast<std::uint64_t>(length);
    }
    const auto& offsets = field("data_offsets").array("data_offsets of '" + name + "'");
    if (offsets.size() != 2) {
        throw WeightsError("tensor '" + name + "' must have two data_offsets");
    }
    const std::int64_t begin = offsets[0].integer("data_offsets of '" + name + "'");
    const std::int64_t end = offsets[1].integer("data_offsets of '" + name + "'");
    if (begin < 0 || end < begin || static_cast<std::uint64_t>(end - begin) != bytes) {
        throw WeightsError("tensor '" + name + "' has data_offsets that do not fit its shape");
    }
    return {begin, end};
}

// What checkouts and downloads leave in place of a file, with the remedy; nullptr if it is no such
// thing. As imagen_fast/stand_in.py has it.
const char* stand_in(std::string_view file) {
    if (file.substr(0, sizeof kLfs - 1) == kLfs) {
        return "a Git LFS pointer, and the file itself was not fetched: run `git lfs pull`";
    }
    const std::size_t start = file.find_first_not_of("\xef\xbb\xbf \t\r\n");
    if (start != file.npos && file[start] == '<') {
        return "a web page, which a server sent in place of the file: download the file itself";
    }
    return nullptr;
}

}  // namespace

Bundle::Bundle(const std::string& path, Kind kind) {
    try {
        map(path);
        read(kind);
    } catch (const WeightsError& error) {
        unmap();
        throw WeightsError(path + ": " + error.what());
    } catch (...) {
        unmap();
        throw;
    }
}

Bundle::Bundle(const void* data, std::size_t size, Kind kind) : data_(data), size_(size) {
    if (size_ < kLengthBytes) {
        throw WeightsError("not a safetensors file (too short)");
    }
    read(kind);
}

Bundle::~Bundle() { unmap(); }

void Bundle::unmap() {
    if (mapped_) {
        munmap(mapped_, size_);
    }
}

std::vector<char> Bundle::copy() const {
    const auto* bytes = static_cast<const char*>(data_);
    return {bytes, bytes + size_};
}

void Bundle::map(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
        throw WeightsError(std::string("cannot read the model: ") + std::strerror(errno));
    }
    struct stat status {};
    const bool regular = fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    size_ = regular ? static_cast<std::size_t>(status.st_size) : 0;
    if (size_ >= kLengthBytes) {
        void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
        mapped_ = mapped == MAP_FAILED ? nullptr : mapped;
        data_ = mapped_;
    }
    close(file);
    if (!data_) {
        throw WeightsError("not a safetensors file (no regular file, or too short)");
    }
}

void Bundle::check_format(Kind kind) {
    const std::string format = metadata.count("format") ? metadata["format"] : "";
    kernels = format == kKernels && metadata.count("graph") && metadata.count("plan");
    if (kernels && kind == Kind::model) {
        throw WeightsError("it holds GPU kernels, and weights for them alone: run it on a GPU "
                           "(device \"cuda\"), or take the model that it was exported from");
    }
    if (kernels) {
        return;
    }
    if (format == kFormat && metadata.count("graph")) {
        check_types();
        return;
    }
    if (format.rfind(std::string(kFamily) + "style-", 0) == 0) {
        throw WeightsError("it is a saved style; give it to `imagen-fast stylize --style`");
    }
    if (format != kFormat && format.rfind(kFamily, 0) == 0) {
        throw WeightsError("an imagen-fast model of format '" + format +
                           "', and this version reads '" + kFormat + "'; update imagen-fast");
    }
    throw WeightsError("a safetensors file, but not an imagen-fast model (its metadata has no "
                       "format '" + std::string(kFormat) + "' with a graph)");
}

std::optional<std::int64_t> Bundle::whole_number(const char* key, std::int64_t low,
                                                 std::int64_t high) const {
    const auto found = metadata.find(key);
    if (found == metadata.end()) {
        return std::nullopt;
    }
    std::int64_t value = -1;
    const std::string& text = found->second;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size() || value < low || value > high) {
        throw WeightsError("its " + std::string(key) + " is '" + text + "'; expected " +
                           std::to_string(low) + " to " + std::to_string(high));
    }
    return value;
}

void Bundle::check_types() const {
    for (const auto& [name, tensor] : tensors) {
        if (tensor.dtype != Dtype::f32 && tensor.dtype != Dtype::f16) {
            throw WeightsError("tensor '" + name + "' is " +
                               (tensor.dtype == Dtype::u8 ? "U8" : "BF16") +
                               "; expected F32 or F16");
        }
    }
}

void Bundle::read(Kind kind) {
    const auto* bytes = static_cast<const unsigned char*>(data_);
    std::uint64_t length = 0;
    for (std::uint64_t i = 0; i < kLengthBytes; ++i) {  // little-endian
        length |= static_cast<std::uint64_t>(bytes[i]) << 8 * i;
    }
    if (length > kLargestHeader || length > size_ - kLengthBytes) {
        if (const char* what = stand_in({reinterpret_cast<const char*>(bytes), size_})) {
            throw WeightsError(std::string("not a safetensors file: it is ") + what);
        }
        throw WeightsError("not a safetensors file, or damaged (its header says " +
                           std::to_string(length) + " bytes)");
    }
    const std::uint64_t start = kLengthBytes + length, rest = size_ - start;
    const Json header = Json::parse(
        std::string_view(reinterpret_cast<const char*>(bytes) + kLengthBytes, length));
    std::vector<Range> ranges;
    for (const auto& [name, value] : header.object("the header")) {
        const auto& entry = value.object("tensor '" + name + "'");
        if (name == "__metadata__") {
            for (const auto& [key, item] : entry) {
                metadata[key] = item.string("metadata '" + key + "'");
            }
            continue;
        }
        const Range range = range_of(name, entry);
        if (range.second > rest) {
            throw WeightsError("tensor '" + name + "' ends beyond the file");
        }
        ranges.push_back(range);
        Tensor& tensor = tensors[name];
        tensor.dtype = kTypes.find(entry.find("dtype")->second.string(""))->second;
        for (const Json& side : entry.find("shape")->second.array("")) {
            tensor.shape.push_back(side.integer(""));
        }
        tensor.data = bytes + start + range.first;
    }
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t end = 0;
    for (const Range& range : ranges) {
        if (range.first != end) {
            throw WeightsError("damaged: tensors overlap or leave gaps");
        }
        end = range.second;
    }
    if (end != rest) {
        throw WeightsError("damaged: the tensors do not end where the file ends");
    }
    check_format(kind);
    graph = Graph::parse(metadata["graph"]);
    tileable.alignment = whole_number("alignment", 1, 1 << 16).value_or(1);
    tileable.exact_overlap = whole_number("exact_overlap", 0, 1 << 16).value_or(-1);
}

}  // namespace imagen_fast
