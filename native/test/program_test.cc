// Compiled programs from several threads at once, and their files.
#include "espalier/program.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "espalier/runtime.h"
#include "program/file.h"

namespace espalier {
namespace {

// The description of relu(W·x + b) with W [rows, columns], as docs/programs.md has it.
class Description {
 public:
  Description& whole(std::initializer_list<int64_t> numbers) {
    for (const int64_t number : numbers) put(&number, sizeof number);
    return *this;
  }
  Description& text(const std::string& of) {
    whole({static_cast<int64_t>(of.size())});
    put(of.data(), of.size());
    return *this;
  }
  Description& floats(const std::vector<float>& of) {
    put(of.data(), of.size() * sizeof(float));
    return *this;
  }
  espalier_in array() const { return {bytes_.data(), static_cast<int64_t>(bytes_.size()), ESPALIER_UINT8}; }

 private:
  void put(const void* from, size_t size) { bytes_.append(static_cast<const char*>(from), size); }
  std::string bytes_;
};

constexpr int64_t kRows = 40, kColumns = 30;

float weight(int64_t row, int64_t column) { return (row * 7 + column * 3) % 10 == 0 ? 0.25f : 0; }

Description layer() {
  std::vector<float> weights, bias;
  for (int64_t r = 0; r < kRows; ++r) {
    bias.push_back(static_cast<float>(r % 3) - 1);
    for (int64_t c = 0; c < kColumns; ++c) weights.push_back(weight(r, c));
  }
  Description made;
  made.whole({2, kRows * kColumns, 0}).floats(weights).whole({kRows, 0}).floats(bias);
  made.whole({2, kColumns, kRows});                                  // values
  made.whole({1, 1, kColumns, 1, 1, kRows});                         // the output, the shapes
  made.whole({1, 0}).text("layer").text("linear, relu");             // one step
  made.whole({0, 1, kRows, kColumns, 0, 1, 1, 1, 0, 1}).whole({0});  // its fields; no choices
  return made;
}

std::vector<float> inputs(int64_t batch, int64_t seed) {
  std::vector<float> x(static_cast<size_t>(batch * kColumns));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((static_cast<int64_t>(i) * 5 + seed) % 11) - 5;
  return x;
}

std::vector<float> expected(const std::vector<float>& x, int64_t batch) {
  std::vector<float> y;
  for (int64_t i = 0; i < batch; ++i)
    for (int64_t r = 0; r < kRows; ++r) {
      float sum = static_cast<float>(r % 3) - 1;
      for (int64_t c = 0; c < kColumns; ++c) sum += weight(r, c) * x[static_cast<size_t>(i * kColumns + c)];
      y.push_back(sum < 0 ? 0 : sum);
    }
  return y;
}

TEST(Program, ThreadsRunOneProgramAtOnce) {
  const Description description = layer();
  int64_t program = 0;
  ASSERT_EQ(espalier_program_create(description.array(), &program), ESPALIER_OK) << espalier_last_error();
  std::vector<std::thread> threads;
  std::vector<int> right(4);
  for (size_t t = 0; t < right.size(); ++t)
    threads.emplace_back([&, t] {
      for (int64_t round = 0; round < 50; ++round) {
        const int64_t batch = 1 + (round * 7 + static_cast<int64_t>(t)) % 70;
        const std::vector<float> x = inputs(batch, round);
        std::vector<float> y(static_cast<size_t>(batch * kRows));
        const espalier_status status =
            espalier_program_run(program, batch, {x.data(), static_cast<int64_t>(x.size()), ESPALIER_FLOAT32},
                                 {y.data(), static_cast<int64_t>(y.size()), ESPALIER_FLOAT32});
        right[t] += status == ESPALIER_OK && y == expected(x, batch);
      }
    });
  // Meanwhile formats are measured, and the program is asked what it runs on.
  for (int64_t batch : {1, 5, 64}) EXPECT_EQ(espalier_program_tune(program, batch), ESPALIER_OK);
  const char* json = nullptr;
  EXPECT_EQ(espalier_program_explain(program, 5, 2, &json), ESPALIER_OK);
  EXPECT_NE(std::strstr(json, "\"layer\":\"layer\""), nullptr) << json;
  for (std::thread& thread : threads) thread.join();
  for (const int count : right) EXPECT_EQ(count, 50);
  EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
}

TEST(Program, ASecondNumberKeepsIt) {
  const Description description = layer();
  int64_t program = 0, other = 0, size = 0;
  ASSERT_EQ(espalier_program_create(description.array(), &program), ESPALIER_OK);
  ASSERT_EQ(espalier_program_share(program, &other), ESPALIER_OK);
  EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
  EXPECT_EQ(espalier_program_input_size(program, &size), ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(espalier_program_input_size(other, &size), ESPALIER_OK);
  EXPECT_EQ(size, kColumns);
  EXPECT_EQ(espalier_program_free(other), ESPALIER_OK);
}

TEST(Program, AFileIsWholeOrNone) {
  const Description description = layer();
  int64_t program = 0, size = 0, again = 0;
  ASSERT_EQ(espalier_program_create(description.array(), &program), ESPALIER_OK);
  ASSERT_EQ(espalier_program_file_size(program, &size), ESPALIER_OK);
  std::vector<uint8_t> file(static_cast<size_t>(size));
  ASSERT_EQ(espalier_program_file(program, {file.data(), size, ESPALIER_UINT8}), ESPALIER_OK);
  EXPECT_EQ(espalier_program_load({file.data(), size, ESPALIER_UINT8}, &again), ESPALIER_OK);
  EXPECT_EQ(espalier_program_free(again), ESPALIER_OK);
  for (int64_t length = 0; length < size; ++length)
    EXPECT_NE(espalier_program_load({file.data(), length, ESPALIER_UINT8}, &again), ESPALIER_OK) << length;
  for (int64_t bit = 0; bit < 8 * size; bit += 13) {
    file[static_cast<size_t>(bit / 8)] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_NE(espalier_program_load({file.data(), size, ESPALIER_UINT8}, &again), ESPALIER_OK) << bit;
    file[static_cast<size_t>(bit / 8)] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
}

// A linear layer on codes, without ReLU, in a format.
struct OnCodes {
  std::vector<float> weights, bias;  // [rows, columns], [rows]
  int64_t low = 0, high = 255;
  const char* format = "integer";

  Description description() const {
    const auto rows = static_cast<int64_t>(bias.size()), columns = static_cast<int64_t>(weights.size() / bias.size());
    Description made;
    made.whole({2, rows * columns, 0}).floats(weights).whole({rows, 0}).floats(bias);
    made.whole({2, columns, rows}).whole({1, 1, columns, 1, 1, rows});
    made.whole({1, 0}).text("layer").text("linear");
    made.whole({0, 1, rows, columns, 0, 1, 1, 0, 1, low, high, 1});
    return made.whole({1, 0, 1}).text(format);
  }
  espalier_status create(int64_t* program) const { return espalier_program_create(description().array(), program); }
  std::vector<float> run(const std::vector<float>& x) const {
    int64_t program = 0;
    EXPECT_EQ(create(&program), ESPALIER_OK) << espalier_last_error();
    const auto batch = static_cast<int64_t>(x.size() * bias.size() / weights.size());
    std::vector<float> y(static_cast<size_t>(batch) * bias.size());
    EXPECT_EQ(espalier_program_run(program, batch, {x.data(), static_cast<int64_t>(x.size()), ESPALIER_FLOAT32},
                                   {y.data(), static_cast<int64_t>(y.size()), ESPALIER_FLOAT32}),
              ESPALIER_OK)
        << espalier_last_error();
    EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
    return y;
  }
};

TEST(Program, CodesOutsideOfTheirRangeCountAsItsEnds) {
  const float none = std::numeric_limits<float>::quiet_NaN(), most = std::numeric_limits<float>::infinity();
  OnCodes layer{{1, -1, 2, 3}, {0, 10}, -2, 5};
  EXPECT_EQ(layer.run({5, -2, 6, -3, 1e30f, -1e30f, most, -most, none, none, 2.75f, 0}),
            (std::vector<float>{7, 14, 7, 14, 7, 14, 7, 14, 0, 0, 2, 14}));
  layer.low = 0;
  EXPECT_EQ(layer.run({255, -1}), (std::vector<float>{5, 20}));
}

TEST(Program, SumsThatFloatsDoNotHoldAreRoundedOnce) {
  // In the order of the columns a float32 would lose every 1.
  constexpr size_t kMany = 800;
  OnCodes layer{std::vector<float>(kMany, 127), {1}};
  for (size_t i = 0; i < 10; ++i) layer.weights[kMany - 1 - i] = 1;
  for (const char* const format : {"integer", "dense", "sparse"}) {
    layer.format = format;
    const int64_t exact = int64_t{127} * 255 * (kMany - 10) + 10 * 255 + 1;
    EXPECT_EQ(layer.run(std::vector<float>(kMany, 255)), std::vector<float>{static_cast<float>(exact)}) << format;
  }
}

TEST(Program, LayersOnCodesAreProvedOrRefused) {
  int64_t program = 0;
  const OnCodes good{{1, -1, 2, 3}, {0, 10}};
  ASSERT_EQ(good.create(&program), ESPALIER_OK) << espalier_last_error();
  EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
  const auto refused = [&](auto change, const char* why) {
    OnCodes layer = good;
    change(layer);
    EXPECT_EQ(layer.create(&program), ESPALIER_INVALID_ARGUMENT);
    EXPECT_NE(std::strstr(espalier_last_error(), why), nullptr) << espalier_last_error();
  };
  for (const float weight : {0.5f, 128.0f, -129.0f, std::numeric_limits<float>::quiet_NaN()})
    refused([&](OnCodes& layer) { layer.weights[2] = weight; }, "a weight of a layer on codes");
  for (const float bias : {0.5f, -0x1p32f, std::numeric_limits<float>::infinity()})
    refused([&](OnCodes& layer) { layer.bias[1] = bias; }, "a bias of a layer on codes");
  refused([](OnCodes& layer) { layer.bias[0] = 0x1p31f; }, "take 33 bits");
  refused([](OnCodes& layer) { layer.low = 1; }, "the least code");
  refused([](OnCodes& layer) { layer.low = -129; }, "the least code");
  refused([](OnCodes& layer) { layer.high = 256; }, "the greatest code");
  refused([](OnCodes& layer) { layer.low = -1, layer.high = 128; }, "are no bytes");
  refused([](OnCodes& layer) { layer.weights.assign(2 * 66'312, 127); }, "take 33 bits");
}

// A convolution of 1×600 by groups of one channel, on codes, whose sums floats do not hold.
espalier_status create_grouped(int64_t groups, int64_t* program) {
  constexpr int64_t kWidth = 600;
  Description made;
  made.whole({1, groups * kWidth, 0}).floats(std::vector<float>(static_cast<size_t>(groups * kWidth), 127));
  made.whole({2, groups * kWidth, groups}).whole({1, 1, groups * kWidth, 1, 1, groups});
  made.whole({1, 1}).text("").text("conv2d");
  made.whole({0, 1, groups, 1, kWidth, groups, 1, 1, 1, kWidth, 1, 1, 0, 0, 1, 1, groups});
  made.whole({0, 0, 0, 1, 0, 255, 0});
  return espalier_program_create(made.array(), program);
}

TEST(Program, GroupsOnCodesAreManyButNotAll) {
  int64_t program = 0;
  ASSERT_EQ(create_grouped(3, &program), ESPALIER_OK) << espalier_last_error();
  const std::vector<float> x(2 * 3 * 600, 255);
  std::vector<float> y(6);
  EXPECT_EQ(espalier_program_run(program, 2, {x.data(), 3600, ESPALIER_FLOAT32}, {y.data(), 6, ESPALIER_FLOAT32}),
            ESPALIER_OK);
  EXPECT_EQ(y, std::vector<float>(6, 127.0f * 255 * 600));
  EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
  EXPECT_EQ(create_grouped(4097, &program), ESPALIER_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(espalier_last_error(), "no format"), nullptr) << espalier_last_error();
}

TEST(Program, TheChecksumIsThatOfZlib) {
  const uint8_t digits[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  EXPECT_EQ(program::checksum(0, digits, 9), 0xCBF43926u);
  EXPECT_EQ(program::checksum(program::checksum(0, digits, 4), digits + 4, 5), 0xCBF43926u);
}

}  // namespace
}  // namespace espalier
