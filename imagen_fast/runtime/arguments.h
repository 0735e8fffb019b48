// Arguments of the C API as the runtime takes them; what cannot be is an ArgumentError.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "../include/imagen_fast.h"
#include "error.h"
#include "view.h"

namespace imagen_fast {

template <class T>
T* not_null(T* pointer, const char* name) {
    if (!pointer) {
        throw ArgumentError(std::string(name) + " is NULL");
    }
    return pointer;
}

// Where the structures of the first version end: shorter ones there are none. Never to be changed.
constexpr std::size_t first_size(const imagen_fast_options*) {
    return offsetof(imagen_fast_options, memory) + sizeof(imagen_fast_options::memory);
}
constexpr std::size_t first_size(const imagen_fast_run_options*) {
    return offsetof(imagen_fast_run_options, user) + sizeof(imagen_fast_run_options::user);
}
constexpr std::size_t first_size(const imagen_fast_input*) {
    return offsetof(imagen_fast_input, image_stride) + sizeof(imagen_fast_input::image_stride);
}
constexpr std::size_t first_size(const imagen_fast_output*) {
    return offsetof(imagen_fast_output, image_stride) + sizeof(imagen_fast_output::image_stride);
}
constexpr std::size_t first_size(const imagen_fast_info*) {
    return offsetof(imagen_fast_info, factor) + sizeof(imagen_fast_info::factor);
}

constexpr std::size_t first_size(const imagen_fast_stream_options*) {
    return sizeof(imagen_fast_stream_options);
}
constexpr std::size_t first_size(const imagen_fast_frame*) { return sizeof(imagen_fast_frame); }

// A structure of the caller's, whose `size` may be that of another version's: what it does not have
// is 0, and what this version does not know must be 0. NULL stands for one that is all 0.
template <class T>
T structure(const T* given, const char* name) {
    T known{};
    if (!given) {
        return known;
    }
    constexpr std::size_t most = 4096;  // a `size` beyond it was never set
    std::size_t size = 0;
    std::memcpy(&size, given, sizeof size);
    if (size < first_size(given) || size > most) {
        throw ArgumentError(std::string(name) + ".size is " + std::to_string(size) +
                            "; expected sizeof(" + name + "), " + std::to_string(sizeof(T)));
    }
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    if (std::any_of(bytes + std::min(sizeof(T), size), bytes + size,
                    [](unsigned char byte) { return byte; })) {
        throw ArgumentError(std::string(name) + " uses fields that this version of the library, " +
                            imagen_fast_version_text() + ", does not have: update it");
    }
    std::memcpy(&known, given, std::min(sizeof(T), size));
    return known;
}

// A number for which 0 stands for `usual` and IMAGEN_FAST_NONE for `none`.
int chosen(const char* name, std::int32_t value, int usual, int none);

// "fp32", "bf16" or "" for the one to prefer.
std::string precision_of(std::int32_t precision);

// Whether samples are uint8; else they are floats.
bool is_bytes(std::int32_t type, const std::string& name);

// A height or a width, in pixels.
void side(std::int64_t pixels, const char* name);

// A picture to read or to write. Without `memory` its data and strides are not looked at.
View view_of(const imagen_fast_input*, const std::string& name, bool memory = true);
View view_of(const imagen_fast_output*, const std::string& name, bool memory = true);

// Throws if the memory between the first and the last byte of one lies in that of the other.
void refuse_overlap(const View& in, const View& out, const std::string& names);

// One of the caller's structures, which are as far apart as the first one's size.
template <class T>
T* element(T* first, std::size_t number) {
    std::size_t size = 0, own = 0;
    std::memcpy(&size, first, sizeof size);
    auto* bytes = reinterpret_cast<const unsigned char*>(first) + number * size;
    std::memcpy(&own, bytes, sizeof own);
    if (own != size) {
        throw ArgumentError("structures of one array have the sizes " + std::to_string(size) +
                            " and " + std::to_string(own) + "; expected one size");
    }
    return reinterpret_cast<T*>(const_cast<unsigned char*>(bytes));
}

}  // namespace imagen_fast
