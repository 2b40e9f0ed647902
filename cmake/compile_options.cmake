# Warnings, sanitizers and hardening for every target of ours.
add_library(tidepool_options INTERFACE)
target_include_directories(tidepool_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(tidepool_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual
  # g++ 12 sees overlaps in "text" + std::string that are not there, at -O2 and above.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  -Wimplicit-fallthrough $<$<BOOL:${TIDEPOOL_WERROR}>:-Werror>)
target_compile_definitions(tidepool_options INTERFACE
  $<$<CONFIG:Release>:_FORTIFY_SOURCE=2> TIDEPOOL_VERSION="${PROJECT_VERSION}")
target_compile_options(tidepool_options INTERFACE -fstack-protector-strong)

if(TIDEPOOL_SANITIZE STREQUAL "address")
  set(flags -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(TIDEPOOL_SANITIZE STREQUAL "thread")
  set(flags -fsanitize=thread -fno-omit-frame-pointer)
elseif(NOT TIDEPOOL_SANITIZE STREQUAL "")
  message(FATAL_ERROR "TIDEPOOL_SANITIZE is '${TIDEPOOL_SANITIZE}': would be right: address, thread, or empty")
endif()
if(flags)
  # With a sanitizer g++ 12 takes what a variant does not hold for uninitialized; the release build keeps that warning.
  target_compile_options(tidepool_options INTERFACE ${flags} $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(tidepool_options INTERFACE ${flags})
endif()
if(TIDEPOOL_FUZZ)
  target_compile_options(tidepool_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
