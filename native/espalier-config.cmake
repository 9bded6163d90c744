# What find_package(espalier) reads: espalier::shared and espalier::static, and with COMPONENTS cuda, where the CUDA
# library was installed too, espalier::cuda_shared and espalier::cuda_static.
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/espalier-targets.cmake)
if("cuda" IN_LIST espalier_FIND_COMPONENTS AND EXISTS ${CMAKE_CURRENT_LIST_DIR}/espalier-cuda-targets.cmake)
  # The static library is linked with the toolkit's CUDA runtime; the shared one has it.
  find_package(CUDAToolkit QUIET)
  include(${CMAKE_CURRENT_LIST_DIR}/espalier-cuda-targets.cmake)
  set(espalier_cuda_FOUND TRUE)
endif()
foreach(component IN LISTS espalier_FIND_COMPONENTS)
  if(espalier_FIND_REQUIRED_${component} AND NOT espalier_${component}_FOUND)
    set(espalier_FOUND FALSE)
    set(espalier_NOT_FOUND_MESSAGE "espalier was installed without its part '${component}'")
  endif()
endforeach()
