#include "shm/channel/channel_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "shm/channel_config.h"
#include "shm/os/crash_point.h"

namespace pylabhub::shm {
namespace {

constexpr absl::string_view kPrefix = "pylabhub.";
constexpr absl::string_view kAnchorSuffix = ".anchor";

absl::Status FileError(int error, const std::string& path, absl::string_view action) {
  const std::string what = absl::StrCat("cannot ", action, " ", path);
  // A symbolic link where a file of ours should be.
  if (error == ELOOP) return absl::PermissionDeniedError(absl::StrCat(what, ": it is a symbolic link"));
  // What open() says of a socket.
  if (error == ENXIO) return absl::PermissionDeniedError(absl::StrCat(what, ": it is not a regular file"));
  return absl::ErrnoToStatus(error, what);
}

bool IsInGroup(gid_t group) {
  if (group == getegid()) return true;
  std::vector<gid_t> groups(std::max(0, getgroups(0, nullptr)));
  const int count = getgroups(static_cast<int>(groups.size()), groups.data());
  groups.resize(std::max(0, count));
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

absl::Status CheckTrusted(int fd, const std::string& path) {
  struct stat stats = {};
  if (fstat(fd, &stats) != 0) return FileError(errno, path, "look at");
  if (!S_ISREG(stats.st_mode))
    return absl::PermissionDeniedError(absl::StrCat(path, " is not a regular file"));
  if (stats.st_uid == geteuid() || stats.st_uid == 0) return absl::OkStatus();
  const bool shared_with_group = (stats.st_mode & S_IRGRP) != 0 && IsInGroup(stats.st_gid);
  if (shared_with_group) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(path, " belongs to user ", stats.st_uid,
                                                  ", who does not share it with a group of this process"));
}

bool HasName(const std::string& path) {
  struct stat stats = {};
  return lstat(path.c_str(), &stats) == 0;
}

// The channel that a file of this name belongs to; empty if none does.
std::string ChannelOf(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kPrefix)) return "";
  if (!absl::ConsumeSuffix(&name, kAnchorSuffix)) {
    if (!absl::ConsumeSuffix(&name, ".data") && !absl::ConsumeSuffix(&name, ".control")) return "";
    const size_t dot = name.rfind('.');
    if (dot == absl::string_view::npos) return "";
    if (!SegmentId::FromHex(name.substr(dot + 1)).has_value()) return "";
    name = name.substr(0, dot);
  }
  return ValidateChannelName(name).ok() ? std::string(name) : "";
}

std::vector<std::string> FileNames(const std::string& directory, std::error_code& error) {
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  return names;
}

}  // namespace

ChannelFiles::ChannelFiles(absl::string_view directory, absl::string_view channel)
    : directory_(directory), channel_(channel), prefix_(absl::StrCat(directory, "/", kPrefix, channel)) {}

std::string ChannelFiles::AnchorPath() const { return absl::StrCat(prefix_, kAnchorSuffix); }

std::string ChannelFiles::DataPath(const SegmentId& segment_id) const {
  return absl::StrCat(prefix_, ".", segment_id.ToHex(), ".data");
}

std::string ChannelFiles::ControlPath(const SegmentId& segment_id) const {
  return absl::StrCat(prefix_, ".", segment_id.ToHex(), ".control");
}

std::vector<SegmentId> ChannelFiles::ListSegments() const {
  std::vector<SegmentId> segments;
  std::error_code error;
  for (const std::string& name : FileNames(directory_, error)) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, absl::StrCat(kPrefix, channel_, "."))) continue;
    if (!absl::ConsumeSuffix(&rest, ".data") && !absl::ConsumeSuffix(&rest, ".control")) continue;
    const std::optional<SegmentId> id = SegmentId::FromHex(rest);
    if (id.has_value() && std::find(segments.begin(), segments.end(), *id) == segments.end())
      segments.push_back(*id);
  }
  return segments;
}

bool ChannelFiles::Exist(const SegmentId& segment_id) const {
  return HasName(DataPath(segment_id)) || HasName(ControlPath(segment_id));
}

bool ChannelFiles::AnchorExists() const { return HasName(AnchorPath()); }

void ChannelFiles::RemoveSegment(const SegmentId& segment_id) const {
  PYLABHUB_CRASH_POINT("files.remove.begun");
  unlink(ControlPath(segment_id).c_str());
  PYLABHUB_CRASH_POINT("files.remove.control_unlinked");
  unlink(DataPath(segment_id).c_str());
  PYLABHUB_CRASH_POINT("files.remove.data_unlinked");
}

absl::StatusOr<std::vector<std::string>> ListAnchoredChannels(absl::string_view directory) {
  std::error_code error;
  std::vector<std::string> channels;
  for (const std::string& name : FileNames(std::string(directory), error)) {
    absl::string_view rest = name;
    if (absl::ConsumePrefix(&rest, kPrefix) && absl::ConsumeSuffix(&rest, kAnchorSuffix))
      channels.emplace_back(rest);
  }
  if (error) return absl::UnavailableError(absl::StrCat("cannot list ", directory, ": ", error.message()));
  std::sort(channels.begin(), channels.end());
  return channels;
}

absl::StatusOr<FolderContents> ListFolder(absl::string_view directory) {
  std::error_code error;
  FolderContents contents;
  for (const std::string& name : FileNames(std::string(directory), error)) {
    if (!absl::StartsWith(name, kPrefix)) continue;
    const std::string channel = ChannelOf(name);
    (channel.empty() ? contents.others : contents.channels).push_back(channel.empty() ? name : channel);
  }
  if (error) return absl::UnavailableError(absl::StrCat("cannot list ", directory, ": ", error.message()));
  std::vector<std::string>& channels = contents.channels;
  std::sort(channels.begin(), channels.end());
  channels.erase(std::unique(channels.begin(), channels.end()), channels.end());
  std::sort(contents.others.begin(), contents.others.end());
  return contents;
}

std::string ChannelOfAnchor(absl::string_view path) {
  const absl::string_view name = path.substr(path.rfind('/') + 1);
  return absl::EndsWith(name, kAnchorSuffix) ? ChannelOf(name) : "";
}

absl::StatusOr<UniqueFd> OpenChannelFile(const std::string& path, Access access) {
  const int flags = access == Access::kReadOnly ? O_RDONLY : O_RDWR;
  UniqueFd fd = UniqueFd::Open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (!fd.valid()) return FileError(errno, path, "open");
  if (absl::Status status = CheckTrusted(fd.get(), path); !status.ok()) return status;
  return fd;
}

bool SetModeIfOwner(int fd, mode_t mode, std::optional<gid_t> group) {
  const bool given = !group.has_value() || fchown(fd, static_cast<uid_t>(-1), *group) == 0;
  PYLABHUB_CRASH_POINT("files.mode.group_given");
  return given && fchmod(fd, mode) == 0;
}

absl::StatusOr<UniqueFd> CreateChannelFile(const std::string& path, mode_t mode, std::optional<gid_t> group) {
  UniqueFd fd = UniqueFd::Open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, kPrivateMode);
  if (!fd.valid()) return FileError(errno, path, "create");
  PYLABHUB_CRASH_POINT("files.create.created");
  if (SetModeIfOwner(fd.get(), mode, group)) return fd;
  const int error = errno;
  unlink(path.c_str());
  return FileError(error, path, group.has_value() ? "give to its group" : "set the mode of");
}

}  // namespace pylabhub::shm
