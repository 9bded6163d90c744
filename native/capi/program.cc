#include "espalier/program.h"

#include <algorithm>

#include "core/array.h"
#include "core/handles.h"
#include "program/file.h"
#include "program/host.h"
#include "program/program.h"

using namespace espalier;
using program::Program;

namespace {

constexpr int64_t kMostBatch = (int64_t{1} << 31) - 1;

// Never destroyed: threads may run programs when the process ends.
Handles<Program>& programs() {
  static auto* const made = new Handles<Program>("program");
  return *made;
}

const uint8_t* bytes(const char* name, espalier_in array) { return elements<uint8_t>(name, array, array.length); }

}  // namespace

espalier_status espalier_program_load(espalier_in file, int64_t* program) {
  return guarded(__func__, [&] {
    const program::Body body = program::unsealed(bytes("file", file), static_cast<size_t>(file.length));
    *program = programs().keep(std::make_shared<Program>(body.data, body.size, std::make_unique<program::Host>()));
  });
}

espalier_status espalier_program_create(espalier_in description, int64_t* program) {
  return guarded(__func__, [&] {
    const uint8_t* const from = bytes("description", description);
    *program = programs().keep(
        std::make_shared<Program>(from, static_cast<size_t>(description.length), std::make_unique<program::Host>()));
  });
}

espalier_status espalier_program_free(int64_t program) {
  return guarded(__func__, [&] { programs().forget(program); });
}

espalier_status espalier_program_share(int64_t program, int64_t* other) {
  return guarded(__func__, [&] { *other = programs().keep(programs().find(program)); });
}

espalier_status espalier_program_input_size(int64_t program, int64_t* elements) {
  return guarded(__func__, [&] { *elements = programs().find(program)->input_size(); });
}

espalier_status espalier_program_output_size(int64_t program, int64_t* elements) {
  return guarded(__func__, [&] { *elements = programs().find(program)->output_size(); });
}

espalier_status espalier_program_run(int64_t program, int64_t batch, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    require_range("batch", batch, int64_t{0}, kMostBatch);
    const float* const from = elements<float>("x", x, checked_product("x", {batch, of->input_size()}));
    float* const to = elements<float>("y", y, checked_product("y", {batch, of->output_size()}));
    of->run(batch, from, to);
  });
}

espalier_status espalier_program_tune(int64_t program, int64_t batch) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    require_range("batch", batch, int64_t{1}, kMostBatch);
    of->tune(batch);
  });
}

espalier_status espalier_program_file_size(int64_t program, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = static_cast<int64_t>(programs().find(program)->file().size()); });
}

espalier_status espalier_program_file(int64_t program, espalier_out file) {
  return guarded(__func__, [&] {
    const std::vector<uint8_t> made = programs().find(program)->file();
    std::copy(made.begin(), made.end(), elements<uint8_t>("file", file, static_cast<int64_t>(made.size())));
  });
}

espalier_status espalier_program_integers(int64_t program, int64_t step, espalier_out weight, espalier_out bias) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    const program::Task& task = of->on_codes(step);
    int8_t* const weights = elements<int8_t>("weight", weight, task.weight->size());
    int32_t* const starts = elements<int32_t>("bias", bias, task.rows);
    const auto whole = [](float value) { return static_cast<int32_t>(value); };
    std::transform(task.weight->data.begin(), task.weight->data.end(), weights, whole);
    if (task.bias == nullptr) std::fill_n(starts, task.rows, 0);
    else std::transform(task.bias->data.begin(), task.bias->data.end(), starts, whole);
  });
}

espalier_status espalier_program_explain(int64_t program, int64_t batch, int64_t repeats, const char** json) {
  return guarded(__func__, [&] {
    const auto of = programs().find(program);
    require_range("batch", batch, int64_t{0}, kMostBatch);
    require_range("repeats", repeats, int64_t{0}, int64_t{10000});
    thread_local std::string text;
    text = of->explain(batch, repeats);
    *json = text.c_str();
  });
}
