// The inside of Console. Messages are answered one after the other; one that needs the shell stops everything
// behind it until the shell resumes.
//   console.cc         messages, the simple protocol, running a command
//   extended_query.cc  Parse, Bind, Describe, Execute, Close
// https://www.postgresql.org/docs/current/protocol-flow.html
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lib/admin/command.h"
#include "lib/admin/console.h"
#include "lib/admin/result_rows.h"
#include "lib/wire/message_reader.h"

namespace tidepool::admin {

struct Console::Machine {
  // Something else for the shell to do than nothing; or the error that the message or command ends with.
  using Wait = std::optional<ConsoleStep>;
  using Outcome = base::Result<Wait>;

  // A command on its way; a simple query's has no name and all results as text.
  struct Portal {
    Command command;
    ResultFormats formats;
    bool started = false;
    Rows rows = {};
    size_t sent_rows = 0;
  };
  struct PreparedStatement {
    Command command;
    std::vector<uint32_t> parameter_oids;
  };
  struct Query {
    std::vector<Command> commands = {};
    size_t next = 0;
  };

  ConsoleStep receive(base::Bytes bytes, std::string& out);
  ConsoleStep resume(const stats::Snapshot& snapshot, std::string& out);
  ConsoleStep resume(const base::Status& done, std::string& out);

  // Deals with `outcome`, then goes on with what is kept, until the shell is needed.
  ConsoleStep go_on(Outcome outcome, std::string& out);
  ConsoleStep refuse(const std::string& why, std::string& out);
  Outcome next_message(std::string& out);
  Outcome on_message(char type, base::Bytes body, std::string& out);
  Outcome on_query(base::Bytes body, std::string& out);
  Outcome next_of_query(std::string& out);
  void fail(const base::Error& error, std::string& out);
  void ready(std::string& out);

  Outcome on_parse(wire::FieldReader body, std::string& out);
  Outcome on_bind(wire::FieldReader body, std::string& out);
  Outcome on_describe(wire::FieldReader body, std::string& out);
  Outcome on_execute(wire::FieldReader body, std::string& out);
  Outcome on_close(wire::FieldReader body, std::string& out);

  // Runs, or goes on with, `running`.
  Outcome run(std::string& out);
  Outcome start(const NoCommand&, std::string& out);
  Outcome start(const ShowTheTable&, std::string& out);
  Outcome start(const ShowHelp&, std::string& out);
  Outcome start(const ShowVariable& show, std::string& out);
  Outcome start(const Answer& fixed, std::string& out);
  Outcome start(const IgnoreSetting&, std::string& out);
  Outcome start(const Reload&, std::string& out);
  Outcome start(const Reconnect& reconnect, std::string& out);
  Outcome start(const Shutdown& shutdown, std::string& out);
  Outcome start(const Begin&, std::string& out);
  Outcome start(const Commit&, std::string& out);
  Outcome start(const Rollback&, std::string& out);
  Outcome start(const SetSavepoint& set, std::string& out);
  Outcome start(const ReleaseSavepoint& release, std::string& out);
  Outcome start(const RollbackToSavepoint& rollback, std::string& out);
  Outcome start(const Deallocate& deallocate, std::string& out);
  Outcome start(const DiscardAll&, std::string& out);
  Outcome use_snapshot(const stats::Snapshot& snapshot, std::string& out);
  Outcome end_transaction(std::string& out);
  // How many savepoints are left up to and with this one.
  base::Result<size_t> find_savepoint(const std::string& name, const char* command) const;
  Outcome send_rows(std::string& out);
  Outcome complete(std::string_view tag, std::string& out);

  // 25P02 if the transaction block has failed and `command` does not end it.
  base::Status may_run(const Command& command) const;

  // 0 .. parsed .. incoming.size()
  //   parsed    answered
  //   the rest  waits for its end, or for what runs before it
  std::string incoming = {};
  size_t parsed = 0;

  bool closed = false;
  bool skips_to_sync = false;  // after an error in the extended protocol
  char transaction = 'I';      // as in ReadyForQuery: 'I'dle, in a 'T'ransaction block, in a failed one ('E')
  std::vector<std::string> savepoints = {};
  std::optional<Query> query = {};

  std::map<std::string, PreparedStatement, std::less<>> statements = {};
  std::map<std::string, Portal, std::less<>> portals = {};

  enum class Waiting : uint8_t { No, ForSnapshot, ForEffect };
  Waiting waiting = Waiting::No;
  Portal simple = {};
  Portal* running = nullptr;  // `simple`, or one of `portals`
  uint32_t most_rows = 0;     // that it may send now; 0: all
};

}  // namespace tidepool::admin
