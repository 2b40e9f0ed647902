#include "lib/config/loader.h"

#include "lib/config/findings.h"
#include "lib/config/settings_reader.h"
#include "lib/config/text_file.h"
#include "lib/config/values.h"
#include "lib/config/yaml_document.h"

namespace tidepool::config {
namespace {

constexpr size_t kLargestFile = 1024 * 1024;

Loaded load(std::string_view yaml, const std::string& file_name, uint32_t file_mode,
            const ConninfoReader& conninfo, const SecretMaker& secrets) {
  Findings findings(file_name);
  SettingsReader reader(file_name, conninfo, secrets, findings);
  Settings settings;
  const YamlDocument document = parse_yaml(yaml);
  if (!document.mistake.empty()) {
    findings.wrong(document.mistake_place, kFileKey, document.mistake);
  } else if (!document.root || document.root->kind == YamlNode::Kind::Null) {
    findings.wrong({}, kFileKey,
                   "holds no settings; write at least \"listen:\" and \"pools:\", as in tidepool.yaml");
  } else {
    settings = reader.read(*document.root);
  }
  const auto& secret = reader.first_secret();
  if (secret && (file_mode & 0004) != 0) {
    findings.warn(secret->place, secret->key,
                  "a secret stands in a file that everyone may read (mode " + print_mode(file_mode) +
                      "); chmod o-rwx the file, or use password_file or ${VAR}");
  }
  Loaded loaded;
  if (!findings.any_mistake()) loaded.settings = std::make_shared<const Settings>(std::move(settings));
  loaded.mistakes = findings.take_mistakes();
  loaded.warnings = findings.take_warnings();
  return loaded;
}

}  // namespace

Loaded load_file(const std::string& path, const ConninfoReader& conninfo, const SecretMaker& secrets) {
  const TextFile file = read_text_file(path, kLargestFile, false);
  if (file.mistake.empty()) return load(file.text, path, file.mode, conninfo, secrets);
  Findings findings(path);
  findings.wrong({}, kFileKey, file.mistake);
  return Loaded{nullptr, findings.take_mistakes(), {}};
}

Loaded load_text(std::string_view yaml, const std::string& file_name, const ConninfoReader& conninfo,
                 const SecretMaker& secrets) {
  return load(yaml, file_name, 0, conninfo, secrets);
}

}  // namespace tidepool::config
