#include "program/memory.h"

#include <algorithm>
#include <numeric>

namespace espalier::program {
namespace {

// Places are multiples of a cache line: a place times the batch size is one too.
constexpr int64_t kLine = 16;
int64_t rounded(int64_t size) { return (size + kLine - 1) / kLine * kLine; }

// Values that lie in one place by design: results that overwrite what they are made of.
struct Tenant {
  int64_t size = 0, first = -1, last = -1;  // steps at which it is written first and needed last
  int64_t offset = 0;
};

}  // namespace

Placement place(const std::vector<int64_t>& sizes, const std::vector<std::unique_ptr<Step>>& steps, int output) {
  const size_t count = sizes.size();
  std::vector<int64_t> last(count, -1);
  std::vector<char> written(count, 0);
  written[0] = 1;
  for (size_t i = 0; i < steps.size(); ++i) {
    for (const int value : steps[i]->reads) {
      if (!written[static_cast<size_t>(value)])
        fail(ESPALIER_INVALID_ARGUMENT, "step %zu reads value %d, which no step before it makes", i, value);
      last[static_cast<size_t>(value)] = static_cast<int64_t>(i);
    }
    written[static_cast<size_t>(steps[i]->writes)] = 1;
  }
  if (output == 0 || !written[static_cast<size_t>(output)]) fail(ESPALIER_INVALID_ARGUMENT, "no step makes the output");
  last[static_cast<size_t>(output)] = static_cast<int64_t>(steps.size());

  std::vector<size_t> tenant_of(count), tenant_of_step;
  std::iota(tenant_of.begin(), tenant_of.end(), size_t{0});
  std::vector<Tenant> tenants(count);
  std::vector<char> begun(count, 0);
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = *steps[i];
    const size_t value = static_cast<size_t>(step.writes);
    const int64_t now = static_cast<int64_t>(i);
    if (!begun[value]) {
      begun[value] = 1;
      const int from = step.reads.empty() ? 0 : step.reads[0];
      const bool over = step.in_place && from != 0 && from != step.writes && last[static_cast<size_t>(from)] == now &&
                        sizes[static_cast<size_t>(from)] == sizes[value] &&
                        std::count(step.reads.begin(), step.reads.end(), from) == 1;
      if (over) tenant_of[value] = tenant_of[static_cast<size_t>(from)];
    }
    Tenant& tenant = tenants[tenant_of[value]];
    tenant.size = rounded(sizes[value]);
    if (tenant.first < 0) tenant.first = now;
    tenant.last = std::max({tenant.last, now, last[value]});
    // What it may write instead, before the step whose work that is.
    if (step.maxima != 0) {
      Tenant& maxima = tenants[static_cast<size_t>(step.maxima)];
      maxima.size = rounded(sizes[static_cast<size_t>(step.maxima)]);
      maxima.first = now;
    }
  }

  // What a step needs for itself is a tenant of that step alone, behind those of the values.
  for (size_t i = 0; i < steps.size(); ++i) {
    const int64_t now = static_cast<int64_t>(i), size = rounded(steps[i]->workspace);
    if (size > 0) tenants.push_back({size, now, now});
    tenant_of_step.push_back(tenants.size() - 1);
  }

  // The largest first, each at the lowest place that is free while it is needed.
  std::vector<size_t> order;
  for (size_t t = 0; t < tenants.size(); ++t)
    if (tenants[t].first >= 0) order.push_back(t);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return tenants[a].size > tenants[b].size; });
  Placement made;
  std::vector<const Tenant*> placed;  // by offset
  for (const size_t t : order) {
    Tenant& tenant = tenants[t];
    int64_t at = 0;
    for (const Tenant* other : placed) {
      if (other->last < tenant.first || tenant.last < other->first) continue;
      if (at + tenant.size <= other->offset) break;
      at = std::max(at, other->offset + other->size);
    }
    tenant.offset = at;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), &tenant,
                                   [](const Tenant* a, const Tenant* b) { return a->offset < b->offset; }),
                  &tenant);
    made.total = std::max(made.total, at + tenant.size);
  }
  made.offsets.resize(count);
  for (size_t value = 1; value < count; ++value)
    if (begun[value]) {
      made.offsets[value] = tenants[tenant_of[value]].offset;
      made.separate += rounded(sizes[value]);
    }
  for (size_t i = 0; i < steps.size(); ++i) {
    made.workspaces.push_back(steps[i]->workspace > 0 ? tenants[tenant_of_step[i]].offset : 0);
    made.separate += rounded(steps[i]->workspace);
  }
  return made;
}

}  // namespace espalier::program
