// What a completion queue's tag points to: whom to tell that an operation is over.
#ifndef PYLABHUB_BROKER_COMPLETION_H_
#define PYLABHUB_BROKER_COMPLETION_H_

namespace pylabhub::broker {

class Completion {
 public:
  virtual ~Completion() = default;

  // `ok` is the completion queue's.
  virtual void Run(bool ok) = 0;
};

// Calls `method` of `T`, of which it is a member. One for each kind of operation, since of each kind at most one is
// under way.
template <typename T, void (T::*method)(bool)>
class CompletionOf final : public Completion {
 public:
  explicit CompletionOf(T& owner) : owner_(owner) {}

  void Run(bool ok) override { (owner_.*method)(ok); }

  // As gRPC takes it.
  void* tag() { return static_cast<Completion*>(this); }

 private:
  T& owner_;
};

}  // namespace pylabhub::broker

#endif  // PYLABHUB_BROKER_COMPLETION_H_
