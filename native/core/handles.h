// Objects that the C interface names by numbers.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "core/failure.h"

namespace espalier {

// Numbers are never used twice, so that one kept too long names nothing. An object lives as long as someone
// holds it, though its number be forgotten meanwhile.
template <class T>
class Handles {
 public:
  explicit Handles(const char* what) : what_(what) {}

  int64_t keep(std::shared_ptr<T> object) {
    const std::lock_guard<std::mutex> hold(lock_);
    objects_.emplace(next_, std::move(object));
    return next_++;
  }

  std::shared_ptr<T> find(int64_t number) {
    const std::lock_guard<std::mutex> hold(lock_);
    const auto found = objects_.find(number);
    if (found == objects_.end())
      fail(ESPALIER_INVALID_ARGUMENT, "there is no %s %lld", what_, static_cast<long long>(number));
    return found->second;
  }

  void forget(int64_t number) {
    // The last holder destroys the object outside of the lock.
    const std::shared_ptr<T> gone = find(number);
    const std::lock_guard<std::mutex> hold(lock_);
    objects_.erase(number);
  }

 private:
  const char* what_;
  std::mutex lock_;
  std::unordered_map<int64_t, std::shared_ptr<T>> objects_;
  int64_t next_ = 1;
};

}  // namespace espalier
