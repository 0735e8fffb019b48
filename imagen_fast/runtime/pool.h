// A few threads that share the blocks of one step after another.
#pragma once

#include <functional>
#include <memory>

namespace imagen_fast {

// The calling thread works too, so a pool of one has no threads of its own. Threads start with the
// first call that needs them; between calls they spin for some microseconds, because the next step
// follows at once, and then sleep. In a child process made by fork the threads are started anew.
// One call at a time.
class Pool {
public:
    explicit Pool(int threads);
    ~Pool();

    int threads() const { return threads_; }

    // work(block, thread) for every block below `blocks`, thread being below threads(); returns
    // when all are done. The work must not throw.
    void run(int blocks, const std::function<void(int, int)>& work);

private:
    struct Crew;

    int threads_;
    std::unique_ptr<Crew> crew_;
};

}  // namespace imagen_fast
