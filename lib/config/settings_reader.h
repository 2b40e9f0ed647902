// Reads the tree of a settings file into Settings, section by section, and checks what takes more than one
// setting to see.
#pragma once

#include <optional>
#include <string>

#include "lib/config/findings.h"
#include "lib/config/loader.h"
#include "lib/config/settings.h"
#include "lib/config/yaml_document.h"

namespace tidepool::config {

// Where a secret stands in the file itself.
struct SecretInFile {
  Place place;
  std::string key;
};

class SettingsReader {
 public:
  // All three are borrowed. Paths in the file start at the folder of `file_name`.
  SettingsReader(const std::string& file_name, const ConninfoReader& conninfo, const SecretMaker& secrets,
                 Findings& findings)
      : file_name_(file_name), conninfo_(conninfo), make_secrets_(secrets), findings_(findings) {}

  Settings read(const YamlNode& root);
  const std::optional<SecretInFile>& first_secret() const { return first_secret_; }

 private:
  void read_top(const YamlNode& root);
  void read_listen(const YamlNode& list, Place place);
  void read_listener(const YamlItem& item, size_t index);
  void read_users(const YamlNode& map);
  // A user's password, and where it stands. Nothing: there is a mistake, or was.
  struct PasswordInFile {
    std::string text;
    Place place;
    std::string path;
  };
  std::optional<PasswordInFile> read_user(const YamlEntry& entry);
  void read_password_file(const YamlEntry& entry, const std::string& path, std::string& password);
  void read_peer_map(const YamlNode& map);
  void read_pools(const YamlNode& map, Place place);
  void read_pool(const YamlEntry& entry);
  void read_conninfo(const YamlEntry& entry, const std::string& path, PoolSettings& pool);
  template <class Section>
  void read_plain_section(const YamlEntry& entry, Section& section);

  void check_listener_is_new(const ListenSettings& listen, Place place, const std::string& path);
  void check_who_can_log_in();
  std::string why_nobody_logs_in_as(const std::string& user, const PoolSettings* pool) const;
  void note_secret(const YamlEntry& entry, const std::string& path);

  const std::string& file_name_;
  const ConninfoReader& conninfo_;
  const SecretMaker& make_secrets_;
  Findings& findings_;
  Settings settings_;
  std::optional<SecretInFile> first_secret_;
  std::map<std::string, Place> places_;  // of names that the last check may complain about, by their path
};

// How many CPUs this process may use: what `workers: auto` means.
uint32_t usable_cpus();

}  // namespace tidepool::config
