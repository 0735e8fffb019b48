#include "arguments.h"

#include <limits>

namespace imagen_fast {

namespace {

constexpr std::int64_t kMostSide = 1 << 30, kMostImages = 1 << 30, kMostChannels = 4096;

[[noreturn]] void refuse(const std::string& what) { throw ArgumentError(what); }

std::int64_t product(std::int64_t a, std::int64_t b, const std::string& name) {
    std::int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) {
        refuse("the " + name + " has sizes or strides beyond any memory");
    }
    return result;
}

std::int64_t sum(std::int64_t a, std::int64_t b, const std::string& name) {
    std::int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result) || result == std::numeric_limits<std::int64_t>::min()) {
        refuse("the " + name + " has sizes or strides beyond any memory");
    }
    return result;
}

void between(std::int64_t value, std::int64_t low, std::int64_t high, const std::string& name) {
    if (value < low || value > high) {
        refuse(name + " is " + std::to_string(value) + "; expected " + std::to_string(low) +
               " to " + std::to_string(high));
    }
}

// Only for what `stride` let through.
std::int64_t magnitude(std::int64_t value) { return value < 0 ? -value : value; }

// The stride, which must have room for what lies in between; `packed` if there is none.
std::int64_t stride(std::int64_t given, std::int64_t room, std::int64_t packed,
                    const std::string& name) {
    if (given == 0) {
        return packed;
    }
    if (given == std::numeric_limits<std::int64_t>::min() || magnitude(given) < room) {
        refuse(name + " is " + std::to_string(given) + " bytes; expected 0, or at least " +
               std::to_string(room) + " in either direction");
    }
    return given;
}

// Addresses of the first byte and of the one after the last.
struct Extent {
    std::uintptr_t first, last;
};

Extent extent(const View& view, const std::string& name) {
    std::int64_t below = 0, above = view.pixel_bytes();
    const std::int64_t steps[][2] = {{view.width, view.pixel_stride},
                                     {view.height, view.row_stride},
                                     {view.images, view.image_stride}};
    for (const auto& [count, step] : steps) {
        const std::int64_t length = product(count - 1, step, name);
        (length < 0 ? below : above) = sum(length < 0 ? below : above, length, name);
    }
    const auto data = reinterpret_cast<std::uintptr_t>(view.data);
    Extent found{};
    if (__builtin_sub_overflow(data, static_cast<std::uintptr_t>(-below), &found.first) ||
        __builtin_add_overflow(data, static_cast<std::uintptr_t>(above), &found.last)) {
        refuse("the " + name + " has sizes or strides beyond any memory");
    }
    return found;
}

template <class Picture>
View checked(const Picture* given, const char* type, const std::string& name, bool memory) {
    const Picture picture = structure(given, type);
    View view;
    view.bytes = is_bytes(picture.type, name + ".type");
    between(picture.channels, 1, kMostChannels, name + ".channels");
    between(picture.images, 1, kMostImages, name + ".images");
    between(picture.height, 1, kMostSide, name + ".height");
    between(picture.width, 1, kMostSide, name + ".width");
    view.channels = picture.channels;
    view.images = picture.images;
    view.height = picture.height;
    view.width = picture.width;
    if (!memory) {
        return view;
    }
    view.data = static_cast<std::byte*>(const_cast<void*>(
        static_cast<const void*>(not_null(picture.data, (name + ".data").c_str()))));
    // Each has room for what the smaller ones reach, so that nothing is written twice.
    const std::int64_t pixel = view.pixel_bytes();
    view.pixel_stride = stride(picture.pixel_stride, pixel, pixel, name + ".pixel_stride");
    const std::int64_t step = magnitude(view.pixel_stride),
                       row = sum(product(view.width - 1, step, name), pixel, name);
    view.row_stride = stride(picture.row_stride, row, product(view.width, step, name),
                             name + ".row_stride");
    const std::int64_t line = magnitude(view.row_stride),
                       image = sum(product(view.height - 1, line, name), row, name);
    view.image_stride = stride(picture.image_stride, image, product(view.height, line, name),
                               name + ".image_stride");
    (void)extent(view, name);
    if (!view.bytes && (reinterpret_cast<std::uintptr_t>(view.data) % 4 || view.pixel_stride % 4 ||
                        view.row_stride % 4 || view.image_stride % 4)) {
        refuse(name + ": floats must be aligned to 4 bytes, its data and its strides");
    }
    return view;
}

}  // namespace

int chosen(const char* name, std::int32_t value, int usual, int none) {
    if (value < IMAGEN_FAST_NONE) {
        refuse(std::string(name) + " is " + std::to_string(value) +
               "; expected a positive number, 0 or IMAGEN_FAST_NONE");
    }
    return value == 0 ? usual : value == IMAGEN_FAST_NONE ? none : value;
}

std::string precision_of(std::int32_t precision) {
    switch (precision) {
        case IMAGEN_FAST_AUTO: return "";
        case IMAGEN_FAST_FP32: return "fp32";
        case IMAGEN_FAST_BF16: return "bf16";
        default:
            refuse("precision is " + std::to_string(precision) +
                   "; expected IMAGEN_FAST_AUTO, IMAGEN_FAST_FP32 or IMAGEN_FAST_BF16");
    }
}

bool is_bytes(std::int32_t type, const std::string& name) {
    if (type != IMAGEN_FAST_UINT8 && type != IMAGEN_FAST_FLOAT32) {
        refuse(name + " is " + std::to_string(type) +
               "; expected IMAGEN_FAST_UINT8 or IMAGEN_FAST_FLOAT32");
    }
    return type == IMAGEN_FAST_UINT8;
}

void side(std::int64_t pixels, const char* name) { between(pixels, 1, kMostSide, name); }

View view_of(const imagen_fast_input* given, const std::string& name, bool memory) {
    return checked(given, "imagen_fast_input", name, memory);
}

View view_of(const imagen_fast_output* given, const std::string& name, bool memory) {
    return checked(given, "imagen_fast_output", name, memory);
}

void refuse_overlap(const View& in, const View& out, const std::string& names) {
    const Extent a = extent(in, names), b = extent(out, names);
    if (a.first < b.last && b.first < a.last) {
        refuse(names + " overlap in memory; expected memory of their own");
    }
}

}  // namespace imagen_fast
