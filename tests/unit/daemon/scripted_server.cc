#include "tests/unit/daemon/scripted_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "lib/wire/message_writer.h"

namespace tidepool::daemon {
namespace {

std::string make_folder() {
  std::string folder = "/tmp/tidepool-script-XXXXXX";
  if (!mkdtemp(folder.data())) throw std::runtime_error("no temporary folder");
  return folder;
}

int listen_in(const std::string& folder) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = folder + "/.s.PGSQL.1";
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 16) != 0) {
    throw std::runtime_error("cannot listen");
  }
  return fd;
}

}  // namespace

ScriptedServer::ScriptedServer(Script script, std::string later, Then then)
    : script_(std::move(script)),
      later_(std::move(later)),
      then_(then),
      folder_(make_folder()),
      listener_(listen_in(folder_)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      thread_([this] { serve(); }) {}

ScriptedServer::~ScriptedServer() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(listener_);
  close(stop_);
  std::filesystem::remove_all(folder_);
}

// One connection at a time.
void ScriptedServer::serve() {
  while (true) {
    std::array<pollfd, 2> watched{{{listener_, POLLIN, 0}, {stop_, POLLIN, 0}}};
    poll(watched.data(), watched.size(), -1);
    if (watched[1].revents) return;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    talk(fd);
    close(fd);
  }
}

void ScriptedServer::talk(int fd) {
  std::string answer;
  for (bool greeted = false;;) {
    std::array<pollfd, 2> watched{{{fd, POLLIN, 0}, {stop_, POLLIN, 0}}};
    poll(watched.data(), watched.size(), -1);
    if (watched[1].revents) return;
    std::array<char, 4096> buffer;
    const ssize_t received = recv(fd, buffer.data(), buffer.size(), 0);
    if (received <= 0) return;
    answer = greeted ? later_ : script_(std::string(buffer.data(), static_cast<size_t>(received)));
    send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    if (greeted && then_ == Then::Closes) return;
    greeted = true;
  }
}

BlackHole::BlackHole() : folder_(make_folder()), listener_(listen_in(folder_)) {}

BlackHole::~BlackHole() {
  close(listener_);
  std::filesystem::remove_all(folder_);
}

std::string scripted_login() {
  std::string login;
  wire::append_authentication_ok(login);
  wire::append_parameter_status(login, "server_version", "13.4");
  wire::append_backend_key_data(login, 4711, std::string("\x80\x00\xff\x0a", 4));
  wire::append_ready_for_query(login, 'I');
  return login;
}

}  // namespace tidepool::daemon
