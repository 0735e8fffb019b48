// The description of a model, as imagen_fast/spec.py writes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace imagen_fast {

struct Level {
    int channels, depth, convs;
    bool global;  // attention over the whole level instead of windows
};

struct Spec {
    std::string architecture;
    int scale, head_dim, window, image_channels, latent_channels;
    std::vector<Level> levels;  // finest first

    // Throws WeightsError: not JSON, a key is missing or unknown, or a value is out of range.
    static Spec parse(std::string_view json);

    // Of what goes in and comes out, for one pixel or row.
    int values() const { return architecture == "listing" ? levels[0].channels : image_channels; }
};

}  // namespace imagen_fast
