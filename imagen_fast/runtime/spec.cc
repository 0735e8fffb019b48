#include "spec.h"

#include "error.h"
#include "json.h"

namespace imagen_fast {

namespace {

constexpr int kMaxChannels = 4096, kMaxLevels = 8, kMaxBlocks = 64;

// The fields of an object, each to be read exactly once.
class Record {
public:
    Record(const Json& json, std::string name)
        : fields_(json.object(name)), name_(std::move(name)) {}

    const Json& take(const std::string& key) {
        const auto found = fields_.find(key);
        if (found == fields_.end()) {
            throw WeightsError(name_ + " has no key '" + key + "'");
        }
        ++taken_;
        return found->second;
    }
    int integer(const std::string& key, int low, int high) {
        const std::string what = name_ + "." + key;
        const auto value = take(key).integer(what);
        if (value < low || value > high) {
            throw WeightsError(what + " is " + std::to_string(value) + "; expected " +
                               std::to_string(low) + " to " + std::to_string(high));
        }
        return static_cast<int>(value);
    }
    const std::string& string(const std::string& key) { return take(key).string(name_ + "." + key); }
    void done() const {
        if (taken_ != fields_.size()) {
            throw WeightsError(name_ + " has unknown keys");
        }
    }

private:
    const Json::Object& fields_;
    std::string name_;
    std::size_t taken_ = 0;
};

Level parse_level(const Json& json, const std::string& name) {
    Record record(json, name);
    Level level{};
    level.channels = record.integer("channels", 1, kMaxChannels);
    level.depth = record.integer("depth", 1, kMaxBlocks);
    level.convs = record.integer("convs", 0, kMaxBlocks);
    const std::string& attention = record.string("attention");
    if (attention != "window" && attention != "global") {
        throw WeightsError(name + ".attention is '" + attention +
                           "'; expected 'window' or 'global'");
    }
    level.global = attention == "global";
    record.done();
    return level;
}

// The article's code, of which nothing but its size may differ.
void check_listing(const Spec& spec) {
    const Level& level = spec.levels[0];
    if (spec.levels.size() > 1 || level.convs || !level.global || spec.head_dim != level.channels) {
        throw WeightsError("spec: a listing has one level, convs 0, attention 'global' and head_dim "
                           "equal to channels (one head)");
    }
    if (spec.scale != 1 || spec.latent_channels) {
        throw WeightsError("spec: a listing has scale 1 and no latent");
    }
}

}  // namespace

Spec Spec::parse(std::string_view text) {
    const Json json = Json::parse(text);
    Record record(json, "spec");
    Spec spec{};
    spec.architecture = record.string("architecture");
    spec.scale = record.integer("scale", 1, 4);
    spec.head_dim = record.integer("head_dim", 1, kMaxChannels);
    spec.window = record.integer("window", 2, 64);
    spec.image_channels = record.integer("image_channels", 1, 4);
    spec.latent_channels = record.integer("latent_channels", 0, kMaxChannels);
    const auto& levels = record.take("levels").array("spec.levels");
    record.done();
    if (spec.architecture != "hierarchical" && spec.architecture != "listing") {
        throw WeightsError("spec.architecture is '" + spec.architecture +
                           "'; expected 'hierarchical' or 'listing'");
    }
    if (spec.window % 2) {
        throw WeightsError("spec.window is odd; expected an even number (it shifts by half)");
    }
    if (levels.empty() || levels.size() > kMaxLevels) {
        throw WeightsError("spec.levels has " + std::to_string(levels.size()) +
                           " levels; expected 1 to " + std::to_string(kMaxLevels));
    }
    for (const Json& level : levels) {
        const std::string name = "spec.levels[" + std::to_string(spec.levels.size()) + "]";
        spec.levels.push_back(parse_level(level, name));
        if (spec.levels.back().channels % spec.head_dim) {
            throw WeightsError(name + ".channels is not a multiple of head_dim");
        }
    }
    if (spec.architecture == "listing") {
        check_listing(spec);
    }
    return spec;
}

}  // namespace imagen_fast
