// A PostgreSQL of the test program's own: a new cluster in a temporary folder, gone when the program ends,
// however it ends.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace tidepool::daemon {

class PrivatePostgres {
 public:
  // The program's one, made at the first call. Says on stderr what is missing and ends the program if there
  // is no PostgreSQL.
  static PrivatePostgres& get();
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  const std::string& folder() const { return folder_; }  // of the Unix socket, and for files of tests
  int port() const { return port_; }
  // "host=FOLDER port=PORT user=USER dbname=postgres"; USER "postgres" is the superuser and needs no
  // password.
  std::string conninfo(const std::string& user = "postgres") const;
  // The same over TCP.
  std::string tcp_conninfo(const std::string& user = "postgres") const;
  // Runs SQL as superuser; the first value of its result. Fails the test on an error.
  std::string query(const std::string& sql) const;

 private:
  PrivatePostgres();
  void initialize();
  void start();
  void run(const std::vector<std::string>& arguments) const;
  pid_t spawn(const std::vector<std::string>& arguments) const;
  void write_file(const std::string& name, const std::string& text) const;

  std::string programs_;  // the folder of initdb and postgres
  std::string folder_;
  int port_ = 0;
  pid_t server_ = -1;
};

}  // namespace tidepool::daemon
