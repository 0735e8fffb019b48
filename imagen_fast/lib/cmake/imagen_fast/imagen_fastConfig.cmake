# find_package(imagen_fast) gives the targets
#   imagen_fast::imagen_fast   the shared library
#   imagen_fast::static        the static one, for programs in C and C++
# Works wherever the package is installed: all is found from this file's own folder.
get_filename_component(_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
file(STRINGS "${_root}/include/imagen_fast.h" _abi REGEX "^#define IMAGEN_FAST_ABI [0-9]+$")
string(REGEX REPLACE ".* " "" _abi "${_abi}")
set(_shared "${_root}/lib/libimagen_fast.so.${_abi}")
set(_static "${_root}/lib/libimagen_fast.a")

if(NOT EXISTS "${_shared}" OR NOT EXISTS "${_static}")
  set(imagen_fast_FOUND FALSE)
  set(imagen_fast_NOT_FOUND_MESSAGE
      "imagen-fast was installed without its native engine, so its libraries were not built; \
`imagen-fast config` says how to get them")
else()
  include(CMakeFindDependencyMacro)
  find_dependency(Threads)
  if(NOT TARGET imagen_fast::imagen_fast)
    add_library(imagen_fast::imagen_fast SHARED IMPORTED)
    set_target_properties(imagen_fast::imagen_fast PROPERTIES
      IMPORTED_LOCATION "${_shared}"
      IMPORTED_SONAME "libimagen_fast.so.${_abi}"
      INTERFACE_INCLUDE_DIRECTORIES "${_root}/include")
    add_library(imagen_fast::static STATIC IMPORTED)
    set_target_properties(imagen_fast::static PROPERTIES
      IMPORTED_LOCATION "${_static}"
      INTERFACE_INCLUDE_DIRECTORIES "${_root}/include"
      INTERFACE_LINK_LIBRARIES "stdc++;m;${CMAKE_DL_LIBS};Threads::Threads")
  endif()
endif()
unset(_root)
unset(_abi)
unset(_shared)
unset(_static)
