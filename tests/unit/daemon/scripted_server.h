// A server that says what a test tells it to, for what a real one says too seldom.
#pragma once

#include <functional>
#include <string>
#include <thread>

namespace tidepool::daemon {

class ScriptedServer {
 public:
  // Gets the startup packet as the client sent it; returns the answer.
  using Script = std::function<std::string(const std::string& startup)>;
  enum class Then { Closes, Stays };
  // What the client sends after its startup packet is answered by `later`; then the server hangs up, or not.
  explicit ScriptedServer(Script script, std::string later = {}, Then then = Then::Closes);
  ~ScriptedServer();

  // "host=FOLDER port=1 user=u dbname=d"
  std::string conninfo() const { return "host=" + folder_ + " port=1 user=u dbname=d"; }
  const std::string& folder() const { return folder_; }

 private:
  void serve();
  void talk(int fd);

  Script script_;
  std::string later_;
  Then then_;
  std::string folder_;
  int listener_ = -1;
  int stop_ = -1;
  std::thread thread_;
};

// A socket that accepts and never says anything: "host=FOLDER port=1".
class BlackHole {
 public:
  BlackHole();
  ~BlackHole();
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  int listener_;
};

// AuthenticationOk, server_version 13.4, a key, ReadyForQuery.
std::string scripted_login();

}  // namespace tidepool::daemon
