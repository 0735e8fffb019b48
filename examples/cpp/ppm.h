// PPM: the simplest picture file there is. "P6 WIDTH HEIGHT 255", one space or newline, then red,
// green and blue byte by byte, row by row; lines that begin with # are comments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

struct Picture {
    std::int64_t height, width;
    std::vector<std::uint8_t> pixels;  // (H, W, 3)
};

// Both throw std::runtime_error, which names the file.
Picture read_ppm(const std::string& path);
void write_ppm(const std::string& path, const Picture&);
