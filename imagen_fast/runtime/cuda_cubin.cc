#include "cuda_cubin.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>

#include "error.h"

namespace imagen_fast::cuda {

namespace {

constexpr int kParameter = 0x17, kWithSize = 4;  // EIATTR_KPARAM_INFO; its form
constexpr std::size_t kSectionHeader = 64, kMostParameters = 256;

// Bytes that are looked at only where there are any.
class Reader {
public:
    Reader(const void* data, std::uint64_t bytes)
        : text_(static_cast<const char*>(data), static_cast<std::size_t>(bytes)) {}

    std::uint64_t number(std::uint64_t at, int bytes) const {
        std::uint64_t value = 0;  // little-endian
        const std::string_view part = slice(at, static_cast<std::uint64_t>(bytes));
        std::memcpy(&value, part.data(), part.size());
        return value;
    }
    std::string_view slice(std::uint64_t at, std::uint64_t bytes) const {
        if (at > text_.size() || bytes > text_.size() - at) {
            throw WeightsError("the code of a kernel is cut off");
        }
        return text_.substr(at, bytes);
    }
    // Up to the next 0.
    std::string_view word(std::uint64_t at) const {
        slice(at, 0);
        const std::string_view rest = text_.substr(at);
        return rest.substr(0, rest.find('\0'));
    }

private:
    std::string_view text_;
};

std::string_view section(const Reader& elf, const std::string& name) {
    const std::uint64_t table = elf.number(0x28, 8), size = elf.number(0x3A, 2);
    const std::uint64_t count = elf.number(0x3C, 2), names = elf.number(0x3E, 2);
    if (size < kSectionHeader || names >= count) {
        throw WeightsError("the code of a kernel is damaged");
    }
    elf.slice(table, size * count);
    const std::uint64_t texts = elf.number(table + size * names + 0x18, 8);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t header = table + size * i;
        if (elf.word(texts + elf.number(header, 4)) == name) {
            return elf.slice(elf.number(header + 0x18, 8), elf.number(header + 0x20, 8));
        }
    }
    throw WeightsError("the code of a kernel has no entry for " + name);
}

}  // namespace

std::vector<int> parameter_sizes(const void* cubin, std::size_t bytes, const std::string& entry) {
    const Reader elf(cubin, bytes);
    if (elf.slice(0, 4) != "\x7f" "ELF" || elf.number(4, 1) != 2) {
        throw WeightsError("the code of a kernel is no cubin");
    }
    const std::string_view text = section(elf, ".nv.info." + entry);
    const Reader info(text.data(), text.size());
    std::map<std::uint64_t, int> found;
    for (std::uint64_t at = 0; at + 4 <= text.size();) {
        const std::uint64_t form = info.number(at, 1), attribute = info.number(at + 1, 1);
        const std::uint64_t size = info.number(at + 2, 2);
        at += 4;
        if (form != kWithSize) {  // the value is in place of the size
            continue;
        }
        if (attribute == kParameter) {
            found[info.number(at + 4, 2)] = static_cast<int>(info.number(at + 8, 4) >> 18);
        }
        at += size;
    }
    if (found.empty() || found.size() > kMostParameters ||
        found.rbegin()->first != found.size() - 1) {
        throw WeightsError("the code of " + entry + " lacks parameters");
    }
    std::vector<int> sizes;
    for (const auto& [ordinal, size] : found) {
        sizes.push_back(size);
    }
    return sizes;
}

}  // namespace imagen_fast::cuda
