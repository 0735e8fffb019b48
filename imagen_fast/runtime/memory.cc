#include "memory.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace imagen_fast {

namespace {

// The number in the line that begins with `name`; 0 if there is none.
std::int64_t statistic(const std::string& path, const std::string& name) {
    std::ifstream file(path);
    std::string key, rest;
    for (std::int64_t value; file >> key; std::getline(file, rest)) {
        if (key == name && file >> value) {
            return value;
        }
        file.clear();
    }
    return 0;
}

// None if there is no such file, or it says "max".
std::optional<std::int64_t> number(const std::string& path) {
    std::ifstream file(path);
    std::int64_t value = 0;
    return file >> value ? std::optional(value) : std::nullopt;
}

struct Controller {
    std::string top, limit, used, cached;
};

// What a group and those above it leave. In a container the group's name may be the host's and
// lead nowhere; its own group is the top.
std::int64_t within(const Controller& controller, const std::string& group) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (std::string folder = controller.top + group;; folder.resize(folder.rfind('/'))) {
        const auto most = number(folder + "/" + controller.limit),
                   now = number(folder + "/" + controller.used);
        if (most && now) {
            const std::int64_t left =
                *most - *now + statistic(folder + "/memory.stat", controller.cached);
            least = std::min(least, std::max<std::int64_t>(0, left));
        }
        if (folder.size() <= controller.top.size()) {
            return least;
        }
    }
}

// A line is "number:controllers:group"; version 2 names no controllers.
std::int64_t within_groups(const std::string& root) {
    const std::string groups = root + "/sys/fs/cgroup";
    const Controller second{groups, "memory.max", "memory.current", "inactive_file"};
    const Controller first{groups + "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                           "total_inactive_file"};
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    std::ifstream file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(':'), next = line.find(':', colon + 1);
        if (next == std::string::npos) {
            continue;
        }
        const std::string controllers = "," + line.substr(colon + 1, next - colon - 1) + ",";
        std::string group = line.substr(next + 1);
        group.resize(group.find_last_not_of('/') + 1);
        if (controllers == ",," || controllers.find(",memory,") != std::string::npos) {
            least = std::min(least, within(controllers == ",," ? second : first, group));
        }
    }
    return least;
}

}  // namespace

std::int64_t available_memory(const std::string& root) {
    const std::int64_t kilobytes = statistic(root + "/proc/meminfo", "MemAvailable:"),
                       half = static_cast<std::int64_t>(sysconf(_SC_PAGE_SIZE)) *
                              sysconf(_SC_PHYS_PAGES) / 2;
    return std::min(kilobytes ? kilobytes * 1024 : half, within_groups(root));
}

}  // namespace imagen_fast
