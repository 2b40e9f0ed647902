#include "tests/unit/daemon/private_postgres.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

namespace tidepool::daemon {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void give_up(const std::string& why) {
  fprintf(stderr, "no PostgreSQL to test with: %s\n", why.c_str());
  exit(1);
}

// Debian keeps them by major version; the highest is taken.
std::string find_programs() {
  int best = 0;
  std::string found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int version = atoi(entry.path().filename().c_str());
    const auto programs = entry.path() / "bin";
    if (version > best && fs::exists(programs / "initdb") && fs::exists(programs / "postgres")) {
      best = version;
      found = programs;
    }
  }
  if (found.empty())
    give_up("initdb and postgres are not in /usr/lib/postgresql/*/bin; install the package postgresql");
  return found;
}

// PostgreSQL does not run as root.
const passwd* owner() {
  if (geteuid() != 0) return nullptr;
  const passwd* postgres = getpwnam("postgres");
  if (!postgres) give_up("running as root, and there is no user postgres");
  return postgres;
}

int find_free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    give_up("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

PrivatePostgres& PrivatePostgres::get() {
  static PrivatePostgres postgres;
  return postgres;
}

PrivatePostgres::PrivatePostgres()
    : programs_(find_programs()), folder_("/tmp/tidepool-dialer-XXXXXX"), port_(find_free_port()) {
  if (!mkdtemp(folder_.data())) give_up("no temporary folder");
  if (const passwd* user = owner(); user && chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0)
    give_up("chown");
  initialize();
  start();
}

PrivatePostgres::~PrivatePostgres() {
  if (server_ > 0) {
    kill(server_, SIGQUIT);
    waitpid(server_, nullptr, 0);
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void PrivatePostgres::initialize() {
  const std::string data = folder_ + "/data";
  run({programs_ + "/initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
       "--no-sync"});
  run({"/usr/bin/openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-subj", "/CN=localhost",
       "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", data + "/server.crt", "-keyout",
       data + "/server.key"});
  run({"/bin/cp", data + "/server.crt", folder_ + "/root.crt"});
  run({"/bin/chmod", "755", folder_});
  write_file("data/postgresql.conf", "listen_addresses='127.0.0.1'\nport=" + std::to_string(port_) +
                                         "\nunix_socket_directories='" + folder_ +
                                         "'\nfsync=off\nmax_connections=60\nssl=on\n");
  write_file("data/pg_hba.conf",
             "local all locked scram-sha-256\n"
             "local all all trust\n"
             "hostssl all encrypted 127.0.0.1/32 scram-sha-256\n"
             "hostnossl all encrypted 127.0.0.1/32 reject\n"
             "host all all 127.0.0.1/32 trust\n");
}

void PrivatePostgres::start() {
  server_ = spawn({programs_ + "/postgres", "-D", folder_ + "/data"});
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (PQping(conninfo().c_str()) != PQPING_OK) {
    if (std::chrono::steady_clock::now() > until || waitpid(server_, nullptr, WNOHANG) != 0)
      give_up("it did not start; see its log");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  for (const char* sql :
       {"create role locked login password 'Geheim 1'", "create role encrypted login password 'Geheim 2'",
        "create role single login connection limit 1", "create role sleepy login",
        "alter role sleepy set idle_session_timeout = '1h'", "create role reader login",
        "alter role reader set default_transaction_read_only = on"}) {
    query(sql);
  }
}

void PrivatePostgres::run(const std::vector<std::string>& arguments) const {
  const pid_t child = spawn(arguments);
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) give_up(arguments.front() + " failed; see its log");
}

pid_t PrivatePostgres::spawn(const std::vector<std::string>& arguments) const {
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const passwd* user = owner();
  const std::string log = folder_ + "/log";
  const pid_t child = fork();
  if (child != 0) return child;
  if (user &&
      (initgroups("postgres", user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
    _exit(1);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);  // a test program that crashes leaves no server behind
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (out < 0) _exit(1);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  if (chdir("/") != 0) _exit(1);
  execv(argv.front(), argv.data());
  _exit(1);
}

void PrivatePostgres::write_file(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ + "/" + name, std::ios::trunc) << text;
}

std::string PrivatePostgres::conninfo(const std::string& user) const {
  return "host=" + folder_ + " port=" + std::to_string(port_) + " user=" + user + " dbname=postgres";
}

std::string PrivatePostgres::tcp_conninfo(const std::string& user) const {
  return "host=127.0.0.1 port=" + std::to_string(port_) + " user=" + user + " dbname=postgres";
}

std::string PrivatePostgres::query(const std::string& sql) const {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(conninfo().c_str()), &PQfinish);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), &PQclear);
  const auto status = PQresultStatus(result.get());
  INFO(PQerrorMessage(connection.get()));
  REQUIRE((status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK));
  return status == PGRES_TUPLES_OK && PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
}

}  // namespace tidepool::daemon
