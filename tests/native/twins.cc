// What the runtime says where Python says the same: answers to the questions on standard input.
//
//     cut HEIGHT WIDTH TILE OVERLAP ALIGNMENT   spans of rows, then of columns; or "refused"
//     automatic HEIGHT WIDTH CAPACITY OVERLAP ALIGNMENT LARGEST
//     largest TILE ALIGNMENT
//     default TILE ALIGNMENT EXACT
#include <cstdio>
#include <iostream>
#include <string>

#include "../../imagen_fast/runtime/error.h"
#include "../../imagen_fast/runtime/tiling.h"

using namespace imagen_fast;

namespace {

void print(const std::vector<Span>& spans) {
    for (const Span& span : spans) {
        std::cout << span.start << ' ' << span.stop << ' ' << span.low << ' ' << span.high << ' '
                  << span.ramp << ' ';
    }
}

void answer(const std::string& question, std::istream& in) {
    std::int64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
    if (question == "cut") {
        in >> a >> b >> c >> d >> e;
        try {
            const Tiling grid = grid_of(a, b, c, d, e);
            print(grid.rows);
            std::cout << "| ";
            print(grid.columns);
        } catch (const ArgumentError&) {
            std::cout << "refused";
        }
    } else if (question == "automatic") {
        in >> a >> b >> c >> d >> e >> f;
        std::cout << automatic_tile(a, b, c, d, e, f);
    } else if (question == "largest") {
        in >> a >> b;
        std::cout << largest_overlap(a, b);
    } else if (question == "default") {
        in >> a >> b >> c;
        std::cout << default_overlap({b, c}, a);
    } else {
        std::cout << "what?";
    }
    std::cout << '\n';
}

}  // namespace

int main() {
    for (std::string question; std::cin >> question;) {
        answer(question, std::cin);
    }
}
