// What the matrices of float32 and those of whole numbers share at the boundary.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "core/array.h"
#include "espalier/sparse.h"
#include "sparse/panels.h"

namespace espalier {

// The elements of X or Y: in panels, whole ones.
inline int64_t elements_of(const char* name, int64_t components, int64_t samples, espalier_sparse_layout layout) {
  if (layout == ESPALIER_SPARSE_LAYOUT_PANELS && samples > 0)
    return checked_product(name, {sparse::panels_of(samples), components, sparse::kPanel});
  return checked_product(name, {components, samples});
}

// A kernel's name, as text that lives as long as the process. There are few.
inline const char* kept_for_good(const std::string& name) {
  static std::mutex lock;
  static std::set<std::string>* const names = new std::set<std::string>;
  const std::lock_guard<std::mutex> hold(lock);
  return names->insert(name).first->c_str();
}

}  // namespace espalier
