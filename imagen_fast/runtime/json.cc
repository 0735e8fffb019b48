#include "json.h"

#include <charconv>
#include <cmath>

#include "error.h"

namespace imagen_fast {

constexpr int kDeepest = 32;

class JsonParser {
public:
    explicit JsonParser(std::string_view text) : text_(text) {}

    Json document() {
        Json value = parse(0);
        space();
        if (at_ != text_.size()) {
            fail("text after the value");
        }
        return value;
    }

private:
    [[noreturn]] void fail(const char* problem) const {
        throw WeightsError("not valid JSON: " + std::string(problem) + " at byte " +
                           std::to_string(at_));
    }
    void space() {
        while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != text_.npos) {
            ++at_;
        }
    }
    char peek() {
        space();
        return at_ < text_.size() ? text_[at_] : '\0';
    }
    void expect(char c) {
        if (peek() != c) {
            fail("an unexpected character or the end");
        }
        ++at_;
    }
    bool word(std::string_view w) {
        if (text_.substr(at_, w.size()) != w) {
            return false;
        }
        at_ += w.size();
        return true;
    }

    Json parse(int depth) {
        if (depth > kDeepest) {
            fail("too deeply nested");
        }
        Json json;
        switch (peek()) {
            case '{':
                json.value_ = object(depth);
                break;
            case '[':
                json.value_ = array(depth);
                break;
            case '"':
                json.value_ = string();
                break;
            case 't':
            case 'f':
                if (const bool truth = text_[at_] == 't'; word(truth ? "true" : "false")) {
                    json.value_ = truth;
                    break;
                }
                fail("an unknown word");
            case 'n':
                if (!word("null")) {
                    fail("an unknown word");
                }
                break;
            default:
                number(json);
        }
        return json;
    }

    Json::Object object(int depth) {
        Json::Object object;
        expect('{');
        for (bool more = peek() != '}'; more;) {
            if (peek() != '"') {
                fail("a key that is no string");
            }
            std::string key = string();
            expect(':');
            if (!object.emplace(std::move(key), parse(depth + 1)).second) {
                fail("a key given twice");
            }
            more = peek() == ',';
            at_ += more;
        }
        expect('}');
        return object;
    }

    Json::Array array(int depth) {
        Json::Array array;
        expect('[');
        for (bool more = peek() != ']'; more;) {
            array.push_back(parse(depth + 1));
            more = peek() == ',';
            at_ += more;
        }
        expect(']');
        return array;
    }

    void number(Json& json) {
        const char* begin = text_.data() + at_;
        const char* end = text_.data() + text_.size();
        const char* digits = begin != end && *begin == '-' ? begin + 1 : begin;
        const char* stop = digits;
        while (stop != end && *stop >= '0' && *stop <= '9') {
            ++stop;
        }
        bool valid = stop != digits && (stop - digits == 1 || *digits != '0');
        const bool whole = stop == end || std::string_view(".eE").find(*stop) == std::string_view::npos;
        if (whole) {
            std::int64_t value = 0;
            valid = valid && std::from_chars(begin, stop, value).ec == std::errc();
            json.value_ = value;
        } else {
            double value = 0;
            const auto read = std::from_chars(begin, end, value);
            valid = valid && read.ec == std::errc() && std::isfinite(value) &&
                    read.ptr[-1] >= '0' && read.ptr[-1] <= '9';
            json.value_ = value;
            stop = read.ptr;
        }
        if (!valid) {
            fail("a value that is no number, string, list or object");
        }
        at_ += stop - begin;
    }

    std::string string() {
        std::string out;
        expect('"');
        for (;;) {
            if (at_ >= text_.size()) {
                fail("a string without an end");
            }
            const char c = text_[at_++];
            if (c == '"') {
                return out;
            }
            if (static_cast<unsigned char>(c) < 0x20) {
                fail("a control character in a string");
            }
            if (c == '\\') {
                escape(out);
            } else {
                out += c;
            }
        }
    }

    void escape(std::string& out) {
        constexpr std::string_view names = "\"\\/bfnrt", values = "\"\\/\b\f\n\r\t";
        const char c = at_ < text_.size() ? text_[at_++] : '\0';
        if (const auto found = names.find(c); found != names.npos && c != '\0') {
            out += values[found];
        } else if (c == 'u') {
            unsigned code = unit();
            if (code >= 0xd800 && code < 0xdc00) {  // the first half of a pair
                if (!word("\\u")) {
                    fail("half a surrogate pair");
                }
                const unsigned low = unit();
                if (low < 0xdc00 || low > 0xdfff) {
                    fail("half a surrogate pair");
                }
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            } else if (code >= 0xdc00 && code < 0xe000) {
                fail("half a surrogate pair");
            }
            utf8(code, out);
        } else {
            fail("an unknown escape");
        }
    }

    unsigned unit() {
        unsigned code = 0;
        const char* begin = text_.data() + at_;
        const char* end = begin + (text_.size() - at_ < 4 ? text_.size() - at_ : 4);
        if (const auto r = std::from_chars(begin, end, code, 16); r.ptr != begin + 4) {
            fail("an unknown escape");
        }
        at_ += 4;
        return code;
    }

    static void utf8(unsigned code, std::string& out) {
        if (code < 0x80) {
            out += static_cast<char>(code);
            return;
        }
        const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        constexpr unsigned char start[] = {0, 0xc0, 0xe0, 0xf0};
        out += static_cast<char>(start[more] | (code >> (6 * more)));
        for (int i = more - 1; i >= 0; --i) {
            out += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3f));
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

namespace {

template <class T, class Value>
const T& expect(const Value& value, std::string_view what, const char* kind) {
    if (const T* found = std::get_if<T>(&value)) {
        return *found;
    }
    throw WeightsError(std::string(what) + " is not " + kind);
}

// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = [&](std::size_t at) {
            return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
        };
        const unsigned first = byte(i++);
        if (first < 0x80) {
            continue;
        }
        const int more = first < 0xc2 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 0;
        const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (more == 0 || byte(i) < low || byte(i) > high) {
            return false;
        }
        for (int j = 1; j < more; ++j) {
            if ((byte(i + j) & 0xc0) != 0x80) {
                return false;
            }
        }
        i += more;
    }
    return true;
}

}  // namespace

Json Json::parse(std::string_view text) {
    if (!is_utf8(text)) {
        throw WeightsError("not valid JSON: not UTF-8");
    }
    return JsonParser(text).document();
}

std::int64_t Json::integer(std::string_view what) const {
    return expect<std::int64_t>(value_, what, "an integer");
}
double Json::number(std::string_view what) const {
    const auto* whole = std::get_if<std::int64_t>(&value_);
    return whole ? static_cast<double>(*whole) : expect<double>(value_, what, "a number");
}
bool Json::boolean(std::string_view what) const {
    return expect<bool>(value_, what, "true or false");
}
const std::string& Json::string(std::string_view what) const {
    return expect<std::string>(value_, what, "a string");
}
const Json::Array& Json::array(std::string_view what) const {
    return expect<Array>(value_, what, "a list");
}
const Json::Object& Json::object(std::string_view what) const {
    return expect<Object>(value_, what, "an object");
}

}  // namespace imagen_fast
