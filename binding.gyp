{
  # The addon for `npm install` on any machine with a compiler. native/CMakeLists.txt builds the same
  # sources as a C library, with native tests and sanitizers.
  "targets": [
    {
      "target_name": "espalier",
      "sources": ["<!@(node scripts/native-sources.mjs core simd kernels sparse quant program capi napi)"],
      "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all"],
      "include_dirs": ["native", "native/include"],
      "defines": ["NAPI_VERSION=9", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags": ["-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi", "-fno-math-errno", "-fno-trapping-math"],
      "cflags_cc": ["-std=c++20"],
      "cflags!": ["-O2", "-Wno-unused-parameter"],
      "cflags_cc!": ["-std=gnu++17", "-fno-rtti"],
      "ldflags": ["-Wl,-z,nodelete"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
        "GCC_OPTIMIZATION_LEVEL": "3",
        "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
        "MACOSX_DEPLOYMENT_TARGET": "12.0",
        "OTHER_CFLAGS": ["-Wno-psabi", "-fno-math-errno", "-fno-trapping-math"]
      }
    }
  ]
}
