// Collects what is wrong with a file, and what is only worth a warning.
#pragma once

#include <string>
#include <vector>

#include "lib/config/loader.h"
#include "lib/config/yaml_document.h"

namespace tidepool::config {

// The key of a finding about the text as a whole.
constexpr const char* kFileKey = "file";

class Findings {
 public:
  explicit Findings(std::string file) : file_(std::move(file)) {}

  // `key` is kFileKey where the file as a whole is meant.
  void wrong(Place place, std::string key, std::string text);
  void warn(Place place, std::string key, std::string text);

  bool any_mistake() const { return !mistakes_.empty(); }
  // In the order of the file.
  std::vector<Mistake> take_mistakes() { return in_order(mistakes_); }
  std::vector<Mistake> take_warnings() { return in_order(warnings_); }

 private:
  static std::vector<Mistake> in_order(std::vector<Mistake>& found);

  std::string file_;
  std::vector<Mistake> mistakes_;
  std::vector<Mistake> warnings_;
};

}  // namespace tidepool::config
