// An object of JSON whose fields are known.
#pragma once

#include <string>
#include <utility>

#include "error.h"
#include "json.h"

namespace imagen_fast {

// The fields of an object, each to be read exactly once.
class Record {
public:
    Record(const Json& json, std::string what) : fields_(json.object(what)), what_(std::move(what)) {}

    const Json& take(const std::string& key) {
        const auto found = fields_.find(key);
        if (found == fields_.end()) {
            throw WeightsError(what_ + " has no key '" + key + "'");
        }
        ++taken_;
        return found->second;
    }
    int integer(const std::string& key, int low, int high) {
        const auto value = take(key).integer(what_ + "'s " + key);
        if (value < low || value > high) {
            throw WeightsError(what_ + "'s " + key + " is " + std::to_string(value) +
                               "; expected " + std::to_string(low) + " to " + std::to_string(high));
        }
        return static_cast<int>(value);
    }
    const std::string& string(const std::string& key) { return take(key).string(what_ + "'s " + key); }
    bool boolean(const std::string& key) { return take(key).boolean(what_ + "'s " + key); }
    const Json::Array& array(const std::string& key) { return take(key).array(what_ + "'s " + key); }
    bool has(const std::string& key) const { return fields_.count(key) > 0; }
    void done() const {
        if (taken_ != fields_.size()) {
            throw WeightsError(what_ + " has unknown keys");
        }
    }
    const std::string& what() const { return what_; }

private:
    const Json::Object& fields_;
    std::string what_;
    std::size_t taken_ = 0;
};

}  // namespace imagen_fast
