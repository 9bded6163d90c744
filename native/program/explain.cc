// What a program runs on, as text in JSON.
#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>

#include "program/program.h"

namespace espalier::program {
namespace {

class Json {
 public:
  [[gnu::format(printf, 2, 3)]] void put(const char* format, ...) {
    char piece[256];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    text_ += piece;
  }
  // A text of a file, of which only plain characters are believed.
  void string(const std::string& of) {
    text_ += '"';
    for (const char c : of) text_ += c < ' ' || c > '~' || c == '"' || c == '\\' ? '?' : c;
    text_ += '"';
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void shape(Json& json, const std::vector<int64_t>& dims) {
  json.put("[");
  for (size_t d = 0; d < dims.size(); ++d) json.put("%s%lld", d == 0 ? "" : ",", static_cast<long long>(dims[d]));
  json.put("]");
}

}  // namespace

std::string Program::explain(int64_t batch, int64_t repeats) {
  const int64_t together = std::min(batch, chunk(batch));
  std::vector<std::vector<double>> times(steps_.size());
  for (int64_t repeat = 0; repeat < repeats && batch > 0; ++repeat)
    walk(together, [&](Step& step, const Frame& frame) {
      const auto start = std::chrono::steady_clock::now();
      step.run(frame);
      device_->wait();
      times[static_cast<size_t>(step.index)].push_back(
          std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
    });
  Json json;
  json.put("{\"isa\":\"%s\",\"batch\":%lld,\"together\":%lld,\"input\":", device_->isa().c_str(),
           static_cast<long long>(batch), static_cast<long long>(together));
  shape(json, input_shape_);
  json.put(",\"outputRows\":%lld,\"output\":", static_cast<long long>(output_rows_));
  shape(json, output_shape_);
  json.put(",\"memory\":%lld,\"memoryUnshared\":%lld,\"steps\":[", static_cast<long long>(placement_.total * 4),
           static_cast<long long>(placement_.separate * 4));
  for (const auto& step : steps_) {
    json.put("%s{\"layer\":", step->index == 0 ? "" : ",");
    json.string(step->name);
    json.put(",\"operation\":");
    json.string(step->operation);
    double measured = 0;
    if (std::vector<double>& all = times[static_cast<size_t>(step->index)]; !all.empty()) {
      const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
      std::nth_element(all.begin(), middle, all.end());
      measured = *middle;
      json.put(",\"measured\":%.6g", measured);
    }
    if (Layer* const layer = step->layer(); layer != nullptr && batch > 0) {
      const Task& task = layer->task();
      const size_t chosen = layer->choose(together);
      const Kernel& kernel = layer->ready(chosen, together);
      json.put(",\"format\":\"%s\",\"kernel\":\"%s\",\"rows\":%lld,\"columns\":%lld,\"density\":%.6g,\"bytes\":%lld",
               layer->formats()[chosen]->name, kernel.name(together).c_str(), static_cast<long long>(task.rows),
               static_cast<long long>(task.columns), task.density(), static_cast<long long>(kernel.bytes()));
      json.put(",\"predicted\":%.6g,\"making\":%.6g,\"tuned\":%s", layer->expects(chosen, together),
               layer->making_time(chosen), layer->measured().empty() ? "false" : "true");
      if (task.codes) {
        const auto& [range, sums] = *task.codes;
        json.put(",\"codes\":{\"min\":%d,\"max\":%d},\"sums\":{\"min\":%lld,\"max\":%lld},\"accumulatorBits\":%d",
                 range.low, range.high, static_cast<long long>(sums.least), static_cast<long long>(sums.greatest),
                 sums.bits());
      }
      // The least time that the kept weights' arithmetic asks of one core.
      if (const double peak = measured > 0 ? device_->peak() : 0; peak > 0)
        json.put(",\"limit\":%.4g", task.flops() * static_cast<double>(together) / peak / measured);
      json.put(",\"others\":{");
      const char* separator = "";
      for (size_t i = 0; i < layer->formats().size(); ++i) {
        const double time = layer->expects(i, together);
        if (i == chosen || time < 0) continue;
        json.put("%s\"%s\":%.6g", separator, layer->formats()[i]->name, time);
        separator = ",";
      }
      json.put("}");
    }
    json.put("}");
  }
  json.put("]}");
  return json.take();
}

}  // namespace espalier::program
