#include "graph_kinds.h"

#include <cmath>
#include <map>

namespace imagen_fast {

namespace {

using Kind = Operation::Kind;
using cpu::Activation;
using Attribute = KindRow::Attribute;

template <class Word>
using Words = std::map<std::string, Word, std::less<>>;

const Words<Activation> kActivations = {
    {"none", Activation::none},           {"relu", Activation::relu},
    {"leaky_relu", Activation::leaky_relu}, {"prelu", Activation::prelu},
    {"silu", Activation::silu},           {"sigmoid", Activation::sigmoid},
    {"gelu", Activation::gelu},           {"gelu_tanh", Activation::gelu_tanh},
    {"mish", Activation::mish},           {"tanh", Activation::tanh},
    {"hard_swish", Activation::hard_swish}, {"clamp", Activation::clamp},
    {"elu", Activation::elu},             {"softplus", Activation::softplus},
};
const Words<Activation> kFunctions = {
    {"abs", Activation::abs},   {"square", Activation::square},
    {"sqrt", Activation::sqrt}, {"reciprocal", Activation::reciprocal},
    {"exp", Activation::exp},   {"log", Activation::log},
    {"erf", Activation::erf},   {"power", Activation::power},
};
const Words<cpu::Padding> kBorders = {{"zero", cpu::Padding::zero},
                                      {"reflect", cpu::Padding::reflect},
                                      {"edge", cpu::Padding::edge}};

Attribute whole(const char* name, int Operation::*member, int low, int high, bool needed = false) {
    return {name, needed, [=](Record& record, const std::string& key, Operation& o) {
                o.*member = record.integer(key, low, high);
            }};
}
Attribute number(const char* name, double Operation::*member) {
    return {name, false, [=](Record& record, const std::string& key, Operation& o) {
                o.*member = record.take(key).number(record.what() + "'s " + key);
                if (!(std::fabs(o.*member) < 1e30)) {
                    throw WeightsError(record.what() + "'s " + key + " is out of range");
                }
            }};
}
Attribute flag(const char* name, bool Operation::*member) {
    return {name, false, [=](Record& record, const std::string& key, Operation& o) {
                o.*member = record.boolean(key);
            }};
}
template <class Word>
Attribute word(const char* name, Word Operation::*member, Words<Word> words, bool needed = false) {
    return {name, needed, [=](Record& record, const std::string& key, Operation& o) {
                const auto found = words.find(record.string(key));
                if (found == words.end()) {
                    throw WeightsError(record.what() + "'s " + key + " is unknown");
                }
                o.*member = found->second;
            }};
}
template <class Word>
Words<Word> with(Words<Word> words, const Words<Word>& more) {
    words.insert(more.begin(), more.end());
    return words;
}

std::vector<Attribute> activated(const Words<Activation>& words, std::vector<Attribute> others) {
    others.push_back(word("activation", &Operation::activation, words));
    others.push_back(number("slope", &Operation::slope));
    others.push_back(number("low", &Operation::low));
    others.push_back(number("high", &Operation::high));
    others.push_back(number("scale", &Operation::scale));
    return others;
}

Operation like(Kind kind, int kernel = 3) {
    Operation operation;
    operation.kind = kind;
    operation.kernel = kernel;
    return operation;
}

using Rows = std::map<std::string, KindRow, std::less<>>;

Rows make_rows() {
    constexpr std::size_t any = 16;
    using O = Operation;
    const Attribute channels = whole("channels", &O::channels, 1, kMostChannels, true),
                    factor = whole("factor", &O::factor, 1, 16, true),
                    stride = whole("stride", &O::stride, 1, 2),
                    head_dim = whole("head_dim", &O::head_dim, 1, kMostChannels, true),
                    window = whole("window", &O::window, 2, 64, true),
                    shift = whole("shift", &O::shift, 0, 32);
    const auto padding = [](const Words<cpu::Padding>& more) {
        return word("padding", &O::padding, with(kBorders, more));
    };
    return {
        {"convolution",
         {like(Kind::convolution), 1, any,
          activated(kActivations, {channels, whole("kernel", &O::kernel, 1, 31, true), stride,
                                   padding({{"valid", cpu::Padding::valid}}),
                                   flag("depthwise", &O::depthwise)})}},
        {"subpixel_convolution",
         {like(Kind::subpixel_convolution), 1, 2,
          {channels, whole("kernel", &O::kernel, 3, 3), factor}}},
        {"transposed_convolution",
         {like(Kind::transposed_convolution, 2), 1, 2,
          {channels, whole("kernel", &O::kernel, 2, 8)}}},
        {"window_attention", {like(Kind::window_attention), 1, any, {head_dim, window, shift}}},
        {"global_attention",
         {like(Kind::global_attention), 1, any, {head_dim, flag("plain", &O::plain)}}},
        {"attention_map", {like(Kind::attention_map), 1, 2, {head_dim, window, shift}}},
        {"sum",
         {like(Kind::sum), 1, any,
          activated(with(kActivations, kFunctions),
                    {number("exponent", &O::exponent), number("offset", &O::offset),
                     whole("minus", &O::minus, 0, 16)})}},
        {"product", {like(Kind::product), 1, any, {}}},
        {"reduce",
         {like(Kind::reduce), 1, 1,
          {word("function", &O::function,
                {{"mean", cpu::Reduction::mean},
                 {"variance", cpu::Reduction::variance},
                 {"deviation", cpu::Reduction::deviation},
                 {"maximum", cpu::Reduction::maximum}},
                true),
           word("over", &O::over,
                {{"picture", O::Over::picture}, {"channels", O::Over::channels}}, true)}}},
        {"layer_norm", {like(Kind::layer_norm), 1, 1, {number("epsilon", &O::epsilon)}}},
        {"concatenate", {like(Kind::concatenate), 1, any, {}}},
        {"slice",
         {like(Kind::slice), 1, 1, {whole("first", &O::first, 0, kMostChannels, true), channels}}},
        {"pixel_shuffle", {like(Kind::pixel_shuffle), 1, 1, {factor}}},
        {"pixel_unshuffle", {like(Kind::pixel_unshuffle), 1, 1, {factor}}},
        {"nearest", {like(Kind::nearest), 1, 1, {factor}}},
        {"bilinear", {like(Kind::bilinear), 1, 1, {factor}}},
        {"halve", {like(Kind::halve), 1, 1, {}}},
        {"max_pool",
         {like(Kind::max_pool), 1, 1, {whole("kernel", &O::kernel, 2, 31, true), stride}}},
        {"pad",
         {like(Kind::pad), 1, 1,
          {padding({}), whole("margin", &O::margin, 0, 256),
           whole("halvings", &O::halvings, 0, 8)}}},
        {"crop",
         {like(Kind::crop), 1, 2,
          {whole("margin", &O::margin, 0, 4096), whole("factor", &O::factor, 1, 16)}}},
    };
}

}  // namespace

const KindRow& kind_row(const std::string& name, const std::string& what) {
    static const Rows rows = make_rows();
    const auto row = rows.find(name);
    if (row == rows.end()) {
        throw WeightsError(what + ": this version knows no such kind; update imagen-fast");
    }
    return row->second;
}

void read_attributes(const Json& json, const std::string& what, const KindRow& row, Operation& o) {
    Record record(json, what + "'s attributes");
    for (const Attribute& attribute : row.attributes) {
        if (record.has(attribute.name)) {
            attribute.read(record, attribute.name, o);
        } else if (attribute.needed) {
            throw WeightsError(what + " lacks its " + attribute.name);
        }
    }
    record.done();
}

void check_roles(const std::string& what, const Operation& o) {
    std::vector<const char*> needed, others;
    switch (o.kind) {
        case Kind::convolution:
        case Kind::subpixel_convolution:
        case Kind::transposed_convolution:
            needed = {"weight"};
            others = {"bias"};
            break;
        case Kind::window_attention:
            needed = {"q", "kv", "temperature", "position", "proj"};
            break;
        case Kind::attention_map:
            needed = {"q", "kv", "temperature", "position"};
            break;
        case Kind::global_attention:
            needed = {"q", "kv", "temperature", "proj"};
            if (o.plain) {
                needed = {"q", "k", "v", "proj", "q_bias", "k_bias", "v_bias", "proj_bias"};
            }
            break;
        case Kind::layer_norm:
            others = {"weight", "bias"};
            break;
        default:
            break;
    }
    if (o.activation == Activation::prelu) {
        needed.push_back("slopes");
    }
    std::size_t known = needed.size();
    for (const char* role : needed) {
        if (!o.has(role)) {
            throw WeightsError(what + " lacks its tensor '" + role + "'");
        }
    }
    for (const char* role : others) {
        known += o.has(role) ? 1 : 0;
    }
    if (o.tensors.size() != known) {
        throw WeightsError(what + " has tensors that its kind does not have");
    }
}

}  // namespace imagen_fast
