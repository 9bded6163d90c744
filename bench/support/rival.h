// What a C++ rival needs: its inputs, and the conversation with the harness (see process.ts).
#pragma once

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <type_traits>
#include <vector>

class Rival {
 public:
  Rival(int count, char** arguments) : arguments_(arguments, arguments + count) {}

  // The i-th argument after the folder, from 0.
  long argument(size_t i) const { return std::atol(arguments_.at(i + 2).c_str()); }

  template <class T>
  std::vector<T> input(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary | std::ios::ate);
    if (!file) {
      std::cerr << "no input " << name << "\n";
      std::exit(1);
    }
    std::vector<T> values(static_cast<size_t>(file.tellg()) / sizeof(T));
    file.seekg(0);
    file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
    return values;
  }

  // Answers the harness until it hangs up; `run` leaves its result in `output`, or where the untimed
  // `finish` brings it there from.
  template <class T, class Run>
  int serve(const std::vector<T>& output, Run run) {
    return serve(output, run, [] {});
  }
  template <class T, class Run, class Finish>
  int serve(const std::vector<T>& output, Run run, Finish finish) {
    for (std::string word; std::cin >> word;) {
      if (word == "time") {
        long repetitions;
        std::cin >> repetitions;
        const auto start = std::chrono::steady_clock::now();
        for (long i = 0; i < repetitions; ++i) run();
        const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
        std::printf("%.9f\n", taken.count());
      } else {
        run();
        finish();
        std::ofstream file(path("output"), std::ios::binary);
        file.write(reinterpret_cast<const char*>(output.data()),
                   static_cast<std::streamsize>(output.size() * sizeof(T)));
        file.close();
        std::printf("output %s\n", std::is_same_v<T, float>    ? "float32"
                                   : std::is_same_v<T, double> ? "float64"
                                   : sizeof(T) == 1            ? "uint8"
                                                               : "int32");
      }
      std::fflush(stdout);
    }
    return 0;
  }

 private:
  std::string path(const std::string& name) const { return arguments_.at(1) + "/" + name; }
  std::vector<std::string> arguments_;
};
