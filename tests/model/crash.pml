// Processes that are killed at any step. After memory.pml; CRASHES is how many may be.
//
// A process of number p runs its steps in `{ ... } unless { killed[p] }`.

bool killed[PROCESSES];
bool ended[PROCESSES];  // by itself; to kill it then would change nothing
byte crashes_left = CRASHES;

// What the kernel says of its lock: dropped once the process is dead and all that it stored has reached memory.
#define lives(p) (!killed[p] || !drained(p))

// Options of a model's killer.
#define may_die(p) (crashes_left > 0 && !killed[p] && !ended[p])
#define kill(p) atomic { may_die(p) -> killed[p] = true; crashes_left-- }
// Of two that are alike, the second dies after the first only: the other order is the same with their names swapped.
#define kill_second(p, first) atomic { killed[first] && may_die(p) -> killed[p] = true; crashes_left-- }
