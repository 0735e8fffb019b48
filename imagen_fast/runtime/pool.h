// A few threads that share the blocks of one step after another.
#pragma once

#include <functional>
#include <memory>
#include <vector>

namespace imagen_fast {

struct PoolOptions {
    int threads = 1;         // the caller's included
    int spin_us = 30;        // microseconds that a thread waits awake before it sleeps
    std::vector<int> cores;  // to which the pool's own threads are bound in turn; empty: to all
                             // that the caller may use, but for the one it runs on
};

// How many cores this process may use.
int usable_cores();

// The calling thread works too, so a pool of one has no threads of its own. Threads start with the
// first call that needs them; between calls they spin for a moment, because the next step follows
// at once, and then sleep. In a child process made by fork() the threads are started anew.
// One call at a time.
class Pool {
public:
    // Throws ArgumentError: no threads, more than 1024, or spinning beyond a second. BackendError: a
    // core that this process may not use.
    explicit Pool(const PoolOptions&);
    ~Pool();

    int threads() const { return options_.threads; }

    // work(block, thread) for every block below `blocks`, thread being below threads(); returns
    // when all are done. The work must not throw. Throws BackendError: the first call that needs
    // threads cannot start them; CancelledError: the work called fork(), this is the child, and
    // what other threads had begun is not done.
    void run(int blocks, const std::function<void(int, int)>& work);

private:
    struct Crew;

    void leave_to_parent();

    PoolOptions options_;
    std::unique_ptr<Crew> crew_;
};

}  // namespace imagen_fast
