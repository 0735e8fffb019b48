# The version is the header's. Until 1.0 a minor version may change what programs rely on.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/../../../include/imagen_fast.h" lines
     REGEX "^#define IMAGEN_FAST_VERSION_[A-Z]+ [0-9]+$")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*MINOR ([0-9]+).*PATCH ([0-9]+).*" "\\1.\\2.\\3"
       PACKAGE_VERSION "${lines}")
unset(lines)
string(REGEX MATCH "^0\\.[0-9]+|^[0-9]+" own "${PACKAGE_VERSION}")
string(REGEX MATCH "^0\\.[0-9]+|^[0-9]+" wanted "${PACKAGE_FIND_VERSION}")
if(PACKAGE_FIND_VERSION VERSION_EQUAL PACKAGE_VERSION)
  set(PACKAGE_VERSION_EXACT TRUE)
endif()
if(own STREQUAL wanted AND NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
unset(own)
unset(wanted)
# The libraries are for one processor family.
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
