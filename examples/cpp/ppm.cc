#include "ppm.h"

#include <cctype>
#include <fstream>
#include <limits>
#include <stdexcept>

namespace {

constexpr std::int64_t kMostSide = 1 << 16;

std::int64_t number(std::istream& file) {
    while (std::isspace(file.peek()) || file.peek() == '#') {
        if (file.get() == '#') {
            file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
        }
    }
    std::int64_t value = 0;
    file >> value;
    return value;
}

}  // namespace

Picture read_ppm(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char magic[2] = {};
    file.read(magic, 2);
    Picture picture{};
    picture.width = number(file);
    picture.height = number(file);
    const bool known = number(file) == 255 && std::isspace(file.get()) && magic[0] == 'P' &&
                       magic[1] == '6' && 0 < picture.width && picture.width <= kMostSide &&
                       0 < picture.height && picture.height <= kMostSide;
    if (!file || !known) {
        throw std::runtime_error(path + ": no PPM picture of 8 bits");
    }
    picture.pixels.resize(static_cast<std::size_t>(3 * picture.width * picture.height));
    file.read(reinterpret_cast<char*>(picture.pixels.data()),
              static_cast<std::streamsize>(picture.pixels.size()));
    if (!file) {
        throw std::runtime_error(path + ": the file is cut off");
    }
    return picture;
}

void write_ppm(const std::string& path, const Picture& picture) {
    std::ofstream file(path, std::ios::binary);
    file << "P6\n" << picture.width << ' ' << picture.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(picture.pixels.data()),
               static_cast<std::streamsize>(picture.pixels.size()));
    file.close();
    if (!file) {
        throw std::runtime_error(path + ": cannot write");
    }
}
