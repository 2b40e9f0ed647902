#include <libpq-fe.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "daemon/server_dialer.h"

namespace tidepool::daemon {
namespace {

std::string text(const char* value) {
  return value ? value : "";
}

// For a Unix socket the path that we connected to: the one that the server bound, which getpeername() tells,
// may lie in another mount namespace (a container's).
std::string peer_address_of(PGconn* connection, int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
  if (peer.ss_family != AF_UNIX) return {reinterpret_cast<const char*>(&peer), size};

  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = text(PQhost(connection)) + "/.s.PGSQL." + text(PQport(connection));
  if (path.size() >= sizeof address.sun_path) return {};
  memcpy(address.sun_path, path.data(), path.size());
  const bool is_abstract = path.front() == '@';
  if (is_abstract) address.sun_path[0] = '\0';
  return {reinterpret_cast<const char*>(&address),
          offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0 : 1)};
}

}  // namespace

OpenServer::OpenServer(pg_conn* connection)
    : process_id(PQbackendPID(connection)),
      peer_address(peer_address_of(connection, PQsocket(connection))),
      host(text(PQhost(connection))),
      user(text(PQuser(connection))),
      database(text(PQdb(connection))),
      port(atoi(text(PQport(connection)).c_str())),
      server_version(PQserverVersion(connection)),
      connection_(connection),
      fd_(PQsocket(connection)),
      tls_(static_cast<SSL*>(PQsslStruct(connection, "OpenSSL"))) {
  // Without this PQfinish() waits for ever to say Terminate to a server that does not read.
  PQsetnonblocking(connection_, 1);
  if (tls_) {
    // What the socket does not take at once is written again later, from another place and with another
    // length.
    SSL_set_mode(tls_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    tls_version = std::string(SSL_get_version(tls_)) + "/" + SSL_get_cipher_name(tls_);
  }
}

OpenServer::~OpenServer() {
  PQfinish(connection_);
}

}  // namespace tidepool::daemon
