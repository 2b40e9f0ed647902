// Prints tidepool.yaml(5), made from the table that the settings are read by: run while building.
#include <cstdio>
#include <string>

#include "lib/config/settings_table.h"

namespace {

// Text for roff: no line begins with its control characters, no backslash is one of its own.
std::string roff(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out.empty() || (out.front() != '.' && out.front() != '\'') ? out : "\\&" + out;
}

const char* const kBefore = R"(.TH TIDEPOOL.YAML 5 "" "Tidepool )" TIDEPOOL_VERSION R"(" "File formats"
.SH NAME
tidepool.yaml \- settings of the connection\-pooling daemon tidepoold
.SH DESCRIPTION
One YAML file, by default
.IR /etc/tidepool/tidepool.yaml .
Everything has a default but
.BR listen ,
one pool, and that pool's
.BR conninfo :
.PP
.RS
.EX
listen:
  \- {unix: /run/tidepool}
pools:
  orders:
    conninfo: "host=/var/run/postgresql dbname=orders user=app"
.EE
.RE
.PP
.B tidepoold \-\-check
.I FILE
tells every mistake with its line and column.
SIGHUP reads the file again while clients work; settings marked
.I no reload
keep their old value until a restart.
.PP
Durations are numbers with a unit (us, ms, s, min, h, d); bare numbers are seconds.
"${VAR}" in a value is an environment variable.
.SH SETTINGS
)";

const char* const kAfter = R"(.SH "SEE ALSO"
.BR tidepoold (8)
.PP
.I /usr/share/doc/tidepool/settings.md
has examples;
.I /usr/share/doc/tidepool/tidepool.full.yaml
has every setting at its default.
)";

}  // namespace

int main() {
  std::fputs(kBefore, stdout);
  std::string section = "-";
  for (const auto& setting : tidepool::config::all_settings()) {
    if (setting.section != section) {
      section = setting.section;
      std::printf(".SS %s\n", section.empty() ? "top level" : roff(section).c_str());
    }
    std::printf(".TP\n.B %s\n%s\n.br\n", roff(setting.key).c_str(), roff(setting.meaning).c_str());
    std::printf("Value: %s.\n", roff(setting.allowed).c_str());
    if (!setting.fallback.empty()) std::printf("Default: %s.\n", roff(setting.fallback).c_str());
    if (setting.reload == tidepool::config::Reload::No) std::printf("No reload.\n");
  }
  std::fputs(kAfter, stdout);
  return 0;
}
