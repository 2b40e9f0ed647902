# tidepool_library(wire SOURCES framing.cc ... DEPENDS base): the one target of a folder lib/wire. Its dependencies are the
# includes that the folder may have (docs/architecture.md; tests/unit/includes checks it).
function(tidepool_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_LINKS" ${ARGN})
  set(target tidepool_${name})
  list(TRANSFORM ARG_DEPENDS PREPEND tidepool_)
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    target_link_libraries(${target} PUBLIC tidepool_options ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE_LINKS})
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE tidepool_options ${ARG_DEPENDS})
  endif()
endfunction()

# tidepool_unit_test(wire SOURCES frame_cursor_test.cc ... LINKS tidepool_wire): one doctest program for a folder.
function(tidepool_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(unit_${name} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/unit/main.cc)
  target_link_libraries(unit_${name} PRIVATE ${ARG_LINKS})
  add_test(NAME unit_${name} COMMAND unit_${name})
endfunction()
