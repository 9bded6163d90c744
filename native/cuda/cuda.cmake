# The CUDA library, its addon and its check program. The CUDA runtime is linked in, and asks for the
# driver when it is first called: the library loads on machines that have none.
enable_language(CUDA)
# Older CMake does not know that newer nvcc has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
endif()
set(CMAKE_CUDA_STANDARD 20)
find_package(CUDAToolkit REQUIRED)

# 90a and 100 code runs on those chips alone; the PTX of the last plain architecture serves what comes later.
set(cuda_code "")
foreach(architecture ${ESPALIER_CUDA_ARCHITECTURES})
  list(APPEND cuda_code "SHELL:-gencode arch=compute_${architecture},code=sm_${architecture}")
  set(cuda_last ${architecture})
endforeach()
if(cuda_last MATCHES "^[0-9]+$")
  list(APPEND cuda_code "SHELL:-gencode arch=compute_${cuda_last},code=compute_${cuda_last}")
endif()

file(GLOB cuda_sources CONFIGURE_DEPENDS
  ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cu ${CMAKE_CURRENT_SOURCE_DIR}/cuda/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/cuda/core/*.cc
  ${CMAKE_CURRENT_SOURCE_DIR}/program/cuda/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/capi/cuda/*.cc)
file(GLOB cuda_check_sources CONFIGURE_DEPENDS
  ${CMAKE_CURRENT_SOURCE_DIR}/cuda/check/*.cc ${CMAKE_CURRENT_SOURCE_DIR}/cuda/check/*.cu)

# The list of options of the C++ files does not suit nvcc: only the host's warnings pass through.
function(espalier_cuda_options target)
  set_property(TARGET ${target} PROPERTY CUDA_ARCHITECTURES OFF)
  set_property(TARGET ${target} PROPERTY COMPILE_OPTIONS "")
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall> $<$<COMPILE_LANGUAGE:CXX>:-Wextra>
    $<$<COMPILE_LANGUAGE:CUDA>:${cuda_code}>
    "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:--extended-lambda --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra,-fvisibility=hidden>")
  if(ESPALIER_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Werror>
      "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:--Werror all-warnings>")
  endif()
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/include)
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
endfunction()

add_library(espalier_cuda_objects OBJECT ${cuda_sources})
espalier_cuda_options(espalier_cuda_objects)

# As the CPU's: static, beside espalier::static; shared, with the CPU's half and the CUDA runtime in it, in place of
# espalier::shared (whose insides are hidden).
add_library(espalier_cuda_static STATIC $<TARGET_OBJECTS:espalier_cuda_objects>)
target_link_libraries(espalier_cuda_static PUBLIC espalier_static CUDA::cudart_static ${CMAKE_DL_LIBS} rt)
add_library(espalier_cuda_shared SHARED $<TARGET_OBJECTS:espalier_cuda_objects> $<TARGET_OBJECTS:espalier_objects>)
target_link_libraries(espalier_cuda_shared PUBLIC Threads::Threads PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS} rt)
target_link_options(espalier_cuda_shared PRIVATE -Wl,-z,nodelete)
foreach(kind shared static)
  add_library(espalier::cuda_${kind} ALIAS espalier_cuda_${kind})
  set_target_properties(espalier_cuda_${kind} PROPERTIES
    OUTPUT_NAME espalier_cuda EXPORT_NAME cuda_${kind} LINKER_LANGUAGE CXX CUDA_ARCHITECTURES OFF
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
  target_include_directories(espalier_cuda_${kind} INTERFACE
    $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
install(TARGETS espalier_cuda_shared espalier_cuda_static EXPORT espalier-cuda-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/espalier_cuda.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/espalier/cuda DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/espalier)
install(EXPORT espalier-cuda-targets NAMESPACE espalier:: DESTINATION ${package_folder})

# Checks on a GPU, and benches; linked statically so that it can be carried to a bare machine.
add_executable(espalier_cuda_check ${cuda_check_sources} $<TARGET_OBJECTS:espalier_cuda_objects> $<TARGET_OBJECTS:espalier_objects>)
espalier_cuda_options(espalier_cuda_check)
set_property(TARGET espalier_cuda_check PROPERTY LINKER_LANGUAGE CXX)
target_link_options(espalier_cuda_check PRIVATE -static-libstdc++ -static-libgcc)
target_link_libraries(espalier_cuda_check PRIVATE CUDA::cudart_static Threads::Threads ${CMAKE_DL_LIBS} rt)

# The addon: a file of its own beside the CPU's, loaded where a device is asked for.
if(CMAKE_JS_INC)
  add_library(espalier_cuda_addon MODULE $<TARGET_OBJECTS:espalier_cuda_objects>
    ${CMAKE_CURRENT_SOURCE_DIR}/napi/module.cc ${CMAKE_CURRENT_SOURCE_DIR}/napi/cuda/addon.cc
    ${CMAKE_CURRENT_SOURCE_DIR}/napi/cuda/async.cc)
  espalier_cuda_options(espalier_cuda_addon)
  espalier_as_addon(espalier_cuda_addon espalier_cuda)
  set_property(TARGET espalier_cuda_addon PROPERTY LINKER_LANGUAGE CXX)
  target_compile_definitions(espalier_cuda_addon PRIVATE ${device_addon_definitions})
  target_link_libraries(espalier_cuda_addon PRIVATE espalier_static CUDA::cudart_static ${CMAKE_DL_LIBS} rt)
endif()
