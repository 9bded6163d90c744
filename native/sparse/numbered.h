// Objects of the C interface that callers hold by number.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "core/failure.h"

namespace espalier::sparse {

// Numbers are never used twice, so that one kept too long names nothing. Safe from any thread; what `find` returns
// lives as long as the pointer does.
template <class T>
class Numbered {
 public:
  explicit Numbered(const char* kind) : kind_(kind) {}

  int64_t keep(std::shared_ptr<T> object) {
    const std::lock_guard<std::mutex> hold(lock_);
    objects_.emplace(next_, std::move(object));
    return next_++;
  }
  std::shared_ptr<T> find(int64_t number) {
    const std::lock_guard<std::mutex> hold(lock_);
    const auto found = objects_.find(number);
    if (found == objects_.end())
      fail(ESPALIER_INVALID_ARGUMENT, "there is no %s %lld", kind_, static_cast<long long>(number));
    return found->second;
  }
  void forget(int64_t number) {
    // Its end comes after the lock's.
    const std::shared_ptr<T> gone = find(number);
    const std::lock_guard<std::mutex> hold(lock_);
    objects_.erase(number);
  }

 private:
  const char* kind_;
  std::mutex lock_;
  std::unordered_map<int64_t, std::shared_ptr<T>> objects_;
  int64_t next_ = 1;
};

}  // namespace espalier::sparse
