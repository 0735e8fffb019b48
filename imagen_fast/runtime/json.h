// A small strict JSON reader (RFC 8259): what a bundle's header and spec are written in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace imagen_fast {

class Json {
public:
    using Array = std::vector<Json>;
    using Object = std::map<std::string, Json, std::less<>>;

    // The one value in `text`. Throws WeightsError: not JSON, nested deeper than 32, a key given
    // twice, or a number that is neither an integer of 64 bits nor a finite double.
    static Json parse(std::string_view text);

    bool is_integer() const { return std::holds_alternative<std::int64_t>(value_); }
    bool is_string() const { return std::holds_alternative<std::string>(value_); }
    bool is_boolean() const { return std::holds_alternative<bool>(value_); }

    // The value as the kind expected; `what` names it in the error. Throws WeightsError.
    std::int64_t integer(std::string_view what) const;
    double number(std::string_view what) const;  // an integer as well
    bool boolean(std::string_view what) const;
    const std::string& string(std::string_view what) const;
    const Array& array(std::string_view what) const;
    const Object& object(std::string_view what) const;

private:
    friend class JsonParser;
    std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value_;
};

}  // namespace imagen_fast
