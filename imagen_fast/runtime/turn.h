// A mutex that is free in a child process, whoever held it when the process forked.
#pragma once

#include <memory>

namespace imagen_fast {

// How many forks lie between this process and the one that loaded the library.
int forks();

// Lets one thread in at a time. Of a process's threads its child has only the one that called
// fork(): a turn that this one had stays its own, one that another had is free in the child.
class Turn {
public:
    Turn();
    ~Turn();

    void lock();
    void unlock();

    // Whether a fork cut off a thread that had the turn, since this was last asked: what it worked
    // on may be half changed. To be called by who has the turn, or has the object for itself.
    bool was_cut_off();

private:
    struct State;
    friend struct Turns;

    // On the heap: the stack of a thread that a child does not have is used for others.
    const std::unique_ptr<State> state_;
};

}  // namespace imagen_fast
