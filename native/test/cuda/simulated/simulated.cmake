# The CUDA library as it is, compiled by the C++ compiler for the simulated device: its checks, and an addon.
set(simulator ${CMAKE_CURRENT_SOURCE_DIR}/test/cuda/simulated)
set(rewritten ${CMAKE_CURRENT_BINARY_DIR}/simulated)
set(rewriter ${CMAKE_CURRENT_SOURCE_DIR}/../scripts/simulated-kernels.mjs)
execute_process(COMMAND ${NODE} ${rewriter} ${CMAKE_CURRENT_SOURCE_DIR} ${rewritten} COMMAND_ERROR_IS_FATAL ANY)
file(GLOB_RECURSE kernels CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cu ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cuh
  ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${rewriter} ${kernels})

file(GLOB simulated_sources ${rewritten}/cuda/*.cc ${rewritten}/cuda/core/*.cc)
# The allocator's cache is tested against a recording runtime; here every array has guards of its own.
list(REMOVE_ITEM simulated_sources ${rewritten}/cuda/core/memory.cc)
file(GLOB simulated_programs CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/program/cuda/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/capi/cuda/*.cc)
file(GLOB simulator_sources CONFIGURE_DEPENDS ${simulator}/*.cc)
file(GLOB simulated_check_sources ${rewritten}/cuda/check/*.cc)

# nvcc includes cuda_runtime.h by itself. Headers of the simulator come first, then rewritten ones, then the library's.
# Kernels read words as other types, which nvcc allows.
function(espalier_simulated target)
  target_include_directories(${target} BEFORE PRIVATE ${simulator} ${rewritten})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/include)
  target_compile_definitions(${target} PRIVATE ESPALIER_SIMULATED_ARCH=900 ESPALIER_SIMULATED_HOPPER=1)
  target_compile_options(${target} PRIVATE -O2 -include cuda_runtime.h -U_FORTIFY_SOURCE -Wno-unknown-pragmas -Wno-sign-compare -Wno-psabi
    -Wno-subobject-linkage -Wno-maybe-uninitialized -Wno-uninitialized -fno-strict-aliasing)
endfunction()

add_library(espalier_simulated_objects OBJECT ${simulated_sources} ${simulated_programs} ${simulator_sources})
espalier_simulated(espalier_simulated_objects)

add_executable(espalier_cuda_simulated_checks ${simulated_check_sources} $<TARGET_OBJECTS:espalier_simulated_objects> $<TARGET_OBJECTS:espalier_objects>)
espalier_simulated(espalier_cuda_simulated_checks)
target_link_libraries(espalier_cuda_simulated_checks PRIVATE Threads::Threads ${CMAKE_DL_LIBS})

if(CMAKE_JS_INC)
  add_library(espalier_cuda_simulated MODULE $<TARGET_OBJECTS:espalier_simulated_objects> $<TARGET_OBJECTS:espalier_objects>
    ${CMAKE_CURRENT_SOURCE_DIR}/napi/module.cc ${CMAKE_CURRENT_SOURCE_DIR}/napi/cuda/addon.cc ${CMAKE_CURRENT_SOURCE_DIR}/napi/cuda/async.cc)
  espalier_as_addon(espalier_cuda_simulated espalier_cuda_simulated)
  espalier_simulated(espalier_cuda_simulated)
  target_compile_definitions(espalier_cuda_simulated PRIVATE ${device_addon_definitions})
  target_link_libraries(espalier_cuda_simulated PRIVATE ${CMAKE_DL_LIBS})
endif()
