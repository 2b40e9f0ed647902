# Everything that calls libpq's login, as a library of its own: the daemon and its tests link it.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBPQ REQUIRED IMPORTED_TARGET GLOBAL libpq>=14)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Threads REQUIRED)

add_library(tidepool_dialer STATIC
  ${CMAKE_CURRENT_LIST_DIR}/conninfo.cc
  ${CMAKE_CURRENT_LIST_DIR}/login_error.cc
  ${CMAKE_CURRENT_LIST_DIR}/login_tap.cc
  ${CMAKE_CURRENT_LIST_DIR}/open_server.cc
  ${CMAKE_CURRENT_LIST_DIR}/server_dialer.cc
  ${CMAKE_CURRENT_LIST_DIR}/server_login.cc
  ${CMAKE_CURRENT_LIST_DIR}/server_stream.cc)
target_link_libraries(tidepool_dialer
  PUBLIC tidepool_options tidepool_base tidepool_wire tidepool_session tidepool_pool
  PRIVATE PkgConfig::LIBPQ OpenSSL::SSL Threads::Threads)
